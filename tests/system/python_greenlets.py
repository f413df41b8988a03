#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A greenlet's stack is its own: it ends where the greenlet began, and nothing of whose stack it was started on, or of whom it
shares the memory with, stands above. Checked on every interpreter that can import greenlet (setup installs Debian's for
/usr/bin/python3; DEEPPROF_PYTHONS names others)."""
import os
import sys

import python_runs
import pythons
import support
from support import check

WORK = os.path.join(support.SOURCE, "tests", "system", "python_greenlets_work.py")
SECONDS = 4  # of CPU time: 2000 samples, at most 250 ticks a second
KINDS = {"a_run": {"a_run", "a_deep", "a_leaf", "spin"}, "b_run": {"b_run", "b_key", "b_leaf", "spin"},
         "<module>": {"<module>", "work", "start", "main_deep", "main_leaf", "spin"}}
STARTS = ("_start", "__libc_start_main", "clone3", "main")


def is_switching(sample):
    """Greenlet's code at the leaf: between two stacks, who switches is all that is known."""
    for frame in sample.frames:
        if frame.object == "[python]":
            return False
        if "greenlet" in os.path.basename(frame.object):
            return True
    return False


def check_kinds(profile, who):
    total = mixed = cut = foreign = lost = switching = 0
    seen, first = {}, {}
    for sample in profile.samples:
        names = [f.name.rpartition(".")[2] for f in sample.frames if f.object == "[python]" and "greenlets_work" in f.file]
        if not names:
            continue
        count = sample.values[0]
        total += count
        kind = names[-1] if names[-1] in KINDS else None
        seen[kind] = seen.get(kind, 0) + count
        if kind is None or not set(names) <= KINDS[kind]:
            mixed += count
            first.setdefault("mixed", sample.stack)
        elif sample.stack[-1].startswith("["):
            cut += count
            first.setdefault("cut", sample.stack)
        elif is_switching(sample) and (sample.frames[-1].object == "[python]" or
                                       (kind != "<module>" and sample.stack[-1] not in STARTS)):
            switching += count  # also where a stack that is being copied back ends in what is not there yet
        elif kind == "<module>":
            lost += sample.stack[-1] not in STARTS and count
            first.setdefault("lost", sample.stack)
        elif "greenlet" not in os.path.basename(sample.frames[-1].object):
            foreign += count
            first.setdefault("foreign", sample.stack)
    print(f"{who}: {total} samples {seen}, {mixed} of two kinds, {cut} cut short, {foreign} not from greenlet's start, {switching} between two", flush=True)
    check(f"{who}: all kinds are there", all(seen.get(kind, 0) >= 0.1 * total for kind in ("a_run", "b_run")) and
          total >= 150 * SECONDS, (total, seen))
    check(f"{who}: none has frames of two kinds", mixed == 0, (mixed, total, first.get("mixed")))
    check(f"{who}: a greenlet's stacks begin in greenlet's own code", foreign == 0, (foreign, total, first.get("foreign")))
    check(f"{who}: the main program's go to the process's start", lost <= 0.01 * total, (lost, total, first.get("lost")))
    check(f"{who}: between two stacks are few", switching <= 0.1 * total, (switching, total))
    check(f"{who}: 99 % are whole", cut <= 0.01 * total, (cut, total, first.get("cut")))


def run_one(python, who):
    run = python_runs.profile_of(python, who, WORK, SECONDS)
    if not run:
        return
    profile, known = run
    check_kinds(profile, who)
    cpu = known["cpu"]
    told = sum(s.values[1] for s in profile.samples) / 1e9
    check(f"{who}: the CPU time is all there", told >= 0.97 * cpu, (told, cpu))


def main():
    named = [p for p in os.environ.get("DEEPPROF_PYTHONS", "").split(":") if p]  # as they are: a link leads out of its environment
    found = [(minor, python) for minor, python in [("", python) for python in named] + pythons.all_of_them()
             if support.run([python, "-c", "import greenlet"]).returncode == 0]
    for minor, python in found:
        run_one(python, f"3.{minor} {python}" if minor else python)
    if not found:
        print("skipped: no Python here has greenlet")
        sys.exit(77)
    support.done()


if __name__ == "__main__":
    main()
