#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Python frames are those that Python itself sees: every sampled stack, with each caller's line, is one that sys.settrace saw
in the same program; and each stands where its native frames are."""
import itertools
import json
import os
import sys

import pythons
import support
from pprof_file import Profile
from support import check

WORK = os.path.join(support.SOURCE, "tests", "system", "python_work.py")
SECONDS = 3
SAMPLES_LEAST = 150
CUTS = {"truncated", "no_cfi", "no_map", "bad_memory", "no_progress", "complex", "foreign_stack", "tiny_stack", "slice_full",
        "slice_short"}
# Their call makes the generator or coroutine at the function's first line, in a frame of its own that sys.settrace does not tell.
GENERATORS = {"numbers", "relay", "inner", "outer", "<genexpr>", "by_class.<locals>.<genexpr>"}


def python_part(sample):
    """Root first, from round_of_work on; nothing of the round that was traced."""
    frames = [f for f in reversed(sample.frames) if f.object == "[python]"]
    if "timed" not in {f.system_name for f in frames}:
        return []
    for at, frame in enumerate(frames):
        if frame.system_name == "round_of_work":
            return frames[at:]
    return []


def stitch_of(profile):
    """Of all windows: {how: groups}"""
    sums = {"aligned": 0, "misaligned": 0, "unknown": 0}
    for comment in profile.comments:
        if comment.startswith("stitch "):
            for key, value in (pair.split("=") for pair in comment.split()[1:]):
                sums[key] += int(value)
    return sums


def is_whole(sample):
    return not any(name.startswith("[incomplete") for name in sample.stack)


def check_frames(profile, truth, who):
    """truth: stacks, root first, of (function, file, line)."""
    # The line of the leaf may be any that ran in it; its callers stand still at their calls.
    seen = {(tuple(tuple(f) for f in stack[:-1]), tuple(stack[-1][:2]), stack[-1][2]) for stack in truth}
    known = {(callers, leaf) for callers, leaf, _ in seen}
    lines = {tuple(tuple(f) for f in stack) for stack in truth}
    total = impossible = wrong_line = 0
    first = None
    for sample in profile.samples:
        part = python_part(sample)
        if not part:
            continue
        total += sample.values[0]
        callers = tuple((f.system_name, f.file, f.line) for f in part[:-1])
        leaf = (part[-1].system_name, part[-1].file)
        if leaf[0] in GENERATORS and part[-1].line == part[-1].start_line and callers in lines:
            continue
        if (callers, leaf) not in known:
            impossible += sample.values[0]
            first = first or (callers, leaf, part[-1].line)
        elif (callers, leaf, part[-1].line) not in seen:
            wrong_line += sample.values[0]
            first = first or (callers, leaf, part[-1].line)
    check(f"{who}: there are samples", total >= SAMPLES_LEAST, total)
    check(f"{who}: no stack is one that Python did not see", impossible == 0, (impossible, total, first))
    check(f"{who}: no leaf has a line that did not run there", wrong_line == 0, (wrong_line, total, first))
    work = sum(s.values[0] for s in profile.samples if python_part(s))
    everything = sum(s.values[0] for s in profile.samples)
    check(f"{who}: nearly all of it is this work", work > 0.8 * everything, (work, everything))


def check_merge(profile, who):
    stitch = stitch_of(profile)
    groups = sum(stitch.values())
    check(f"{who}: no two groups share a native frame",
          groups and stitch["misaligned"] == 0, stitch)
    # Ticks before the first unwind table came, where the copy of the stack found no room.
    frames_of_cut = [(s.values[0], sum(f.object == "[python]" for f in s.frames)) for s in profile.samples if not is_whole(s)]
    most = sum(count * frames for count, frames in frames_of_cut)
    check(f"{who}: 99.9 % of them have one where the native stack is whole",
          stitch["unknown"] <= most + 0.001 * groups, (stitch, most))
    counted = sum(count for reason, (count, _) in profile.losses.items() if reason in CUTS)
    # A tick may stand for many periods, so that it is a sample's stacks that are compared.
    check(f"{who}: those that are not whole are counted", len(frames_of_cut) <= counted, (frames_of_cut, profile.losses))
    names = {name for sample in profile.samples for name in sample.stack}
    if "list_sort_impl" in names or "list.sort" in names:
        wrong = 0
        for sample in profile.samples:
            stack = sample.stack  # leaf first
            keys = [i for i, f in enumerate(sample.frames) if f.system_name == "sort_key"]
            callers = [i for i, f in enumerate(sample.frames) if f.system_name == "by_sort"]
            if keys and callers and is_whole(sample) and not any("sort" in name for name in stack[keys[0] + 1:callers[0]]):
                wrong += sample.values[0]
        check(f"{who}: the sort stands between who sorts and the key function", wrong == 0, wrong)
    loops = [name for sample in profile.samples if python_part(sample) for name in sample.stack
             if name.startswith("_PyEval_EvalFrame")]
    check(f"{who}: the interpreter's loop is folded away", not loops, loops[:1])


DEEP = """
import sys, time
def down(depth, end):
    if depth:
        return down(depth - 1, end)
    while time.process_time() < end:
        for i in range(1000): pass
sys.setrecursionlimit(2000)
down(899, time.process_time() + 0.7)
"""
DEEP_FRAMES = 901


def check_deep(python, who):
    """Deeper than the budget: leaf and root are there, and how many are missing is said."""
    path = os.path.join(support.scratch(), "deep.pb.gz")
    done = support.run([python, "-c", DEEP], env=support.environment(output=path, rate=250))
    if not support.wait_for(path):
        check(f"{who}: deep recursion has a profile", False, done)
        return
    total = wrong = 0
    first = None
    for sample in Profile(path).samples:
        names = [f.system_name for f in reversed(sample.frames) if f.object == "[python]" or "missing]" in f.name]
        if names.count("down") < 100:
            continue  # on its way down
        total += sample.values[0]
        said = sum(int(name[1:].split()[0]) for name in names if name.startswith("["))
        shown = sum(not name.startswith("[") for name in names)
        leaf = next(f for f in sample.frames if f.object == "[python]")
        on_its_way = leaf.line <= leaf.start_line + 2 and shown + said < DEEP_FRAMES
        if names[0] != "<module>" or names[-1] != "down" or not said or (shown + said != DEEP_FRAMES and not on_its_way):
            wrong += sample.values[0]
            first = first or (names[0], names[-1], said, shown)
    check(f"{who}: of 901 frames leaf and root are shown and the rest is counted", total >= 50 and wrong <= 0.02 * total,
          (total, wrong, first))


def check_internals(python, who):
    """internals=true: the interpreter's loop stands next to the Python frames that it runs, rootward."""
    path = os.path.join(support.scratch(), "internals.pb.gz")
    support.run([python, "-c", "import time\ndef leaf(end):\n while time.process_time() < end: pass\n"
                 "max([1], key=lambda _: leaf(time.process_time() + 2))"], env=support.environment(output=path, rate=250, internals="true"))
    if not support.wait_for(path):
        check(f"{who}: with internals there is a profile", False)
        return
    total = shown = 0
    for sample in Profile(path).samples:
        managed = [i for i, f in enumerate(sample.frames) if f.object == "[python]"]
        if not is_whole(sample) or not any(sample.frames[i].system_name == "leaf" for i in managed):
            continue
        total += sample.values[0]
        # Between a group and the next one rootward; the loop may have something inlined, or no name.
        groups = itertools.groupby(sample.frames, lambda f: f.object == "[python]")
        between = [[f.name for f in frames] for is_python, frames in groups if not is_python]
        if sample.frames[0].object != "[python]":
            between.pop(0)
        shown += sample.values[0] * all(any("_PyEval_EvalFrame" in name or "+0x" in name for name in names) for names in between)
    check(f"{who}: with internals each group of Python frames stands on its loop", total >= 50 and shown == total, (shown, total))


def run_one(python, who):
    folder = support.scratch()
    truth, path = os.path.join(folder, "truth.json"), os.path.join(folder, "work.pb.gz")
    plain = support.run([python, WORK, truth, "0"])
    done = support.run([python, WORK, truth, str(SECONDS)], env=support.environment(output=path, rate=1000))
    check(f"{who}: the same result, and nothing on stderr", done.returncode == 0 and done.stdout == plain.stdout and not done.stderr,
          done)
    if not support.wait_for(path):
        check(f"{who}: its profile is there", False)
        return
    profile = Profile(path)
    with open(truth) as file:
        check_frames(profile, json.load(file), who)
    check_merge(profile, who)
    cut = sum(s.values[0] for s in profile.samples if not is_whole(s) and any(f.object == "[python]" for f in s.frames))
    check(f"{who}: few native stacks are not whole", cut <= 0.01 * sum(s.values[0] for s in profile.samples), cut)
    gil = {s.labels.get("python.gil") for s in profile.samples if python_part(s)}
    check(f"{who}: whether the GIL is held is known", gil == ({None} if pythons.is_free_threaded(python) else {"held"}), gil)
    check_deep(python, who)
    check_internals(python, who)


def main():
    if len(sys.argv) == 3:  # a profile and a truth of a run elsewhere
        profile = Profile(sys.argv[1])
        with open(sys.argv[2]) as file:
            check_frames(profile, json.load(file), "given")
        check_merge(profile, "given")
        support.done()
    found = pythons.all_of_them()
    for minor in pythons.MINORS:
        if minor not in {m for m, _ in found}:
            print(f"skip 3.{minor}: not here")
    for minor, python in found:
        run_one(python, f"3.{minor} {python}")
    if not found:
        sys.exit(77)
    support.done()


if __name__ == "__main__":
    main()
