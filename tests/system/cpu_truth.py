#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weights against the kernel's own clocks, thread by thread. cpu_truth.py [--long] [CASE...]

What may differ, with P the period. The first expiry of a timer is at a random place of P, so a thread's weights (and
losses) differ from its CPU time c by less than P, and the expectation of the difference is 0; its variance is
P^2 f (1 - f) with f the fraction of c / P, at most P^2 / 4. The kernel notices an expiry at its own tick: what expires
between the last of these and the end of a thread is delivered to nobody, and counted as the loss "tail". So:
- each thread: weights - c < P, and what c - weights exceeds P by, over all threads, is at most what was lost;
- a thread of P / 0.01 CPU time, where nothing was lost, is therefore within 1 %;
- the process, n threads: |weights + losses - c| < 4 sqrt(n) P / 2; the chance to be outside is below 1 in 10000.
"""
import gzip
import math
import os
import re
import subprocess
import sys

from support import BUILD, LIBRARY, check, collapsed, done, environment, scratch, share, wait_for

PROGRAM = os.path.join(BUILD, "tests", "system", "cpu_truth")
PERIOD = 0.01
IS_LONG = "--long" in sys.argv
only = [a for a in sys.argv[1:] if not a.startswith("-")]


def fields(data):
    """The fields of one protobuf message: (number, value), value an int or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            yield key >> 3, data[at:at + size]
            at += size
        else:
            raise ValueError("pprof has no other wire types")


def packed(value):
    if isinstance(value, int):
        return [value]
    out, number, shift = [], 0, 0
    for byte in value:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            out.append(number)
            number = shift = 0
    return out


class Profile:
    """A .pb.gz read by nothing of ours."""

    def __init__(self, path):
        strings, samples, comments = [], [], []
        for number, value in fields(gzip.open(path).read()):
            if number == 2:
                samples.append(value)
            elif number == 6:
                strings.append(value.decode())
            elif number == 13:
                comments += packed(value)
        self.threads = {}
        for sample in samples:
            values, labels = [], {}
            for number, value in fields(sample):
                if number == 2:
                    values += packed(value)
                elif number == 3:
                    label = dict(fields(value))
                    labels[strings[label[1]]] = label.get(3, 0)
            tid = labels["tid"]
            self.threads[tid] = self.threads.get(tid, 0) + values[1] / 1e9
        self.losses = {}
        for comment in comments:
            found = re.search(r"(\w+)=(\d+) weight_ns=(\d+)$", strings[comment])
            if found:
                self.losses[found[1]] = (int(found[2]), int(found[3]) / 1e9)
        self.weight = sum(self.threads.values())
        self.lost = sum(weight for _, weight in self.losses.values())


def profiled(*arguments, preload=True, **settings):
    """What the program says of itself, what the profile says of it, and the profile's stacks."""
    where = scratch()
    env = environment(output=where + "/x.pb.gz", **settings)
    if not preload:
        del env["LD_PRELOAD"]
    result = subprocess.run([PROGRAM, *arguments], env=env, capture_output=True, timeout=1200, check=False)
    check(f"{arguments[0]}: runs", result.returncode == 0 and not result.stderr, (result.returncode, result.stderr))
    check(f"{arguments[0]}: leaves a profile", wait_for(where + "/x.pb.gz", 60))
    used, process = {}, 0
    for line in result.stdout.decode().splitlines():
        words = line.split()
        if words[0] == "thread":
            used[int(words[1])] = int(words[2]) / 1e9
        else:
            process = int(words[1]) / 1e9
    return used, process, Profile(where + "/x.pb.gz"), collapsed(where + "/x.pb.gz")


def check_sum(what, process, threads, profile):
    bound = 4 * math.sqrt(threads) * PERIOD / 2
    difference = profile.weight + profile.lost - process
    print(f"     {what}: {process:.3f} s used, {profile.weight:.3f} s in samples, {profile.lost:.3f} s lost, "
          f"{(profile.weight + profile.lost) / process:.4f} (bound ±{bound / process:.4f}) {profile.losses}", flush=True)
    check(f"{what}: weights and losses are the CPU time", abs(difference) < bound, (difference, bound))


def check_threads(what, used, profile):
    worst, short = (1, 0), 0
    for tid, seconds in used.items():
        weight = profile.threads.get(tid, 0)
        short += max(0, seconds - weight - PERIOD)
        if weight - seconds >= PERIOD:
            check(f"{what}: thread {tid} has no more than it used", False, (weight, seconds))
        if seconds >= PERIOD / 0.01:
            worst = max(worst, (weight / seconds, seconds), key=lambda w: abs(w[0] - 1))
            if not (weight / seconds <= 1.01 and (weight + profile.lost) / seconds >= 0.99):
                check(f"{what}: thread {tid} within 1 %", False, (weight, seconds))
    check(f"{what}: each thread's weights are its CPU time, but for losses", short <= profile.lost, (short, profile.lost))
    if worst[1]:
        print(f"     {what}: worst of the threads above {PERIOD / 0.01:.1f} s: {worst[0]:.4f}", flush=True)


def threads(count, total_ms):
    what = f"{count} threads"
    used, process, profile, stacks = profiled("threads", str(count), str(total_ms))
    check_threads(what, used, profile)
    check_sum(what, process, count + 1, profile)
    # Ticks before the first table came, and without room for a copy of the stack, have a leaf alone: that is counted.
    leaves = profile.losses.get("slice_full", (0, 0))[0] * PERIOD / profile.weight
    seen = share(stacks, "^unequal_work$")
    check(f"{what}: 97 % in unequal_work", seen > 0.97 - leaves, (seen, leaves))


def one_thread():
    threads(1, 120000 if IS_LONG else 10000)


def four_threads():
    threads(4, 240000 if IS_LONG else 10000)


def sixty_four_threads():
    threads(64, 300000 if IS_LONG else 10000)


def many_threads():
    threads(256, 600000 if IS_LONG else 10000)


def short_threads():
    """1000 threads of 3 ms, which a tick meets in one of three: the sum is true all the same."""
    _, process, profile, stacks = profiled("short_threads")
    check_sum("short threads", process, 1001, profile)
    check("short threads: named", share(stacks, "^short_work$") > 0.8, share(stacks, "^short_work$"))


def clones():
    """Threads that no hook saw: from the sweep on they are sampled, before that their time is timer_missing."""
    used, process, profile, stacks = profiled("clones")
    check_sum("raw clones", process, len(used), profile)
    check("raw clones: at most two seconds each go by before the sweep",
          profile.losses.get("timer_missing", (0, 0))[1] < 2.0 * 3, profile.losses)
    check("raw clones: named", share(stacks, "^clone_work$") > 0.3, share(stacks, "^clone_work$"))
    check("raw clones: so is main beside them", share(stacks, "^beside_clones$") > 0)
    wrong = [s for s in stacks if "clone_work" in s and "beside_clones" in s]
    check("raw clones: neither in the other's stack", not wrong, wrong[:1])


def late():
    used, process, profile, stacks = profiled("late", LIBRARY, preload=False)
    check_sum("older threads", process, len(used), profile)
    check("older threads: named", share(stacks, "^older_work$") > 0.4, share(stacks, "^older_work$"))
    check("older threads: so is main", share(stacks, "^beside_older$") > 0)


def coroutines():
    used, process, profile, stacks = profiled("coroutines")
    check_threads("coroutines", used, profile)
    check_sum("coroutines", process, 1, profile)
    for name, part in [("coroutine_left", 0.5), ("coroutine_right", 0.25), ("between_coroutines", 0.25)]:
        seen = share(stacks, f"^{name}$")
        # 400 samples: one standard deviation is at most 0.025.
        check(f"coroutines: {name} has its part", abs(seen - part) < 0.1, seen)
    both = [s for s in stacks if len({"coroutine_left", "coroutine_right", "between_coroutines"} & set(s)) > 1]
    check("coroutines: none in the other's stack", not both, both[:1])


def small_stacks():
    used, process, profile, stacks = profiled("small_stacks")
    check_threads("16 KiB stacks", used, profile)
    check_sum("16 KiB stacks", process, 3, profile)
    seen = sum(n for s, n in stacks.items() if "small_stack_work" in s and "clone" in s[0]) / sum(stacks.values())
    check("16 KiB stacks: whole and named", seen > 0.97, stacks if seen <= 0.97 else "")


def alternate_stacks():
    used, process, profile, stacks = profiled("alternate_stacks")
    check_threads("alternate stacks", used, profile)
    check_sum("alternate stacks", process, 1, profile)
    inside = {s: n for s, n in stacks.items() if "handler_work" in s}
    part = sum(inside.values()) / sum(stacks.values())
    check("alternate stacks: the handler has its half", abs(part - 0.5) < 0.1, part)
    through = sum(n for s, n in inside.items() if "interrupted_work" in s)
    check("alternate stacks: under what it interrupted", through >= 0.95 * sum(inside.values()), list(inside)[:2])


def blocked():
    used, process, profile, stacks = profiled("blocked")
    check_sum("SIGPROF blocked", process, 3, profile)
    lost = profile.losses.get("signal_blocked", (0, 0))[1]
    check("SIGPROF blocked: the blocked time is said", abs(lost - 4.5) < 0.1, profile.losses)
    check("SIGPROF blocked: and is in no sample", share(stacks, "^blocked_work$") < 0.02, share(stacks, "^blocked_work$"))
    check("SIGPROF blocked: what was not blocked is", share(stacks, "^block_for_good$") > 0.3)


def vforks():
    used, process, profile, stacks = profiled("vforks")
    check_threads("vfork", used, profile)
    check_sum("vfork", process, 1, profile)
    check("vfork: the parent named", share(stacks, "^parent_of_vfork$") > 0.9, share(stacks, "^parent_of_vfork$"))


def no_timers():
    used, process, profile, stacks = profiled("no_timers")
    main = max(used)
    check_sum("no timers", process, 1, profile)
    count, lost = profile.losses.get("timer_missing", (0, 0))
    check("no timers: said for each thread", count >= 4, profile.losses)
    check("no timers: with the time that they took", abs(lost - 4.0) < 0.1, (lost, main))
    check("no timers: main is sampled", share(stacks, "^beside_no_timer$") > 0.9)


CASES = {f.__name__: f for f in [one_thread, four_threads, sixty_four_threads, many_threads, short_threads, clones, late,
                                 coroutines, small_stacks, alternate_stacks, blocked, vforks, no_timers]}
for name, case in CASES.items():
    if not only or name in only:
        case()
done()
