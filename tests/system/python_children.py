#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""python_children.py [all]: each thread and child of a Python program has a profile of its own, in which each function has the
CPU time that it used by its own thread's clock, and none has another's. One interpreter of each version, or all."""
import glob
import json
import os
import sys
import time

import pythons
import support
from pprof_file import Profile
from support import check

WORK = os.path.join(support.SOURCE, "tests", "system", "python_children_work.py")
WAYS = (["threads"], ["fork"], ["fork_in_thread"], ["os_exit"], ["multiprocessing", "fork"], ["multiprocessing", "forkserver"],
        ["multiprocessing", "spawn"], ["subprocess"])
# Where the machine is busy the kernel looks at its timers late: a function then has a few periods of the one before or after. Where a
# virtual machine has lost its processor in between, many: that is nobody's doing, and does not happen three times in a row.
LATE_S = 0.05
TRIES = 3
TAIL_S = LATE_S  # what a thread has used since its last tick, which a child that ends by os._exit cannot tell
BURNERS = {"burn_first", "burn_second", "burn_without_gil"}


def burner(sample):
    """Of the leaf-most one in the sample, with the module it is in."""
    for frame in sample.frames:
        if frame.system_name in BURNERS:
            return frame.system_name
    return ""


def profiles_in(folder, pids):
    """{pid: [Profile]}"""
    for pid in pids:
        support.wait_for(os.path.join(folder, f"{pid}.pb.gz"))
    return {pid: [Profile(path) for path in sorted(glob.glob(os.path.join(folder, f"{pid}.*pb.gz")))] for pid in pids}


def seconds_of(profiles, function, tid):
    """What is in samples, what in losses."""
    seen = sum(s.values[1] for p in profiles for s in p.samples if burner(s) == function and s.labels.get("tid") == tid)
    return seen / 1e9, sum(weight for p in profiles for _, weight in p.losses.values()) / 1e9


def seconds_of_thread(profiles, tid):
    return sum(s.values[1] for p in profiles for s in p.samples if s.labels.get("tid") == tid) / 1e9


def is_right(said, profiles):
    for pid, tid, function, seconds, _ in said:
        seen, lost = seconds_of(profiles[pid], function, tid)
        if not seconds - LATE_S - lost <= seen <= seconds + LATE_S:
            return False
    return True


def run_once(python, way, who):
    folder = support.scratch()
    done = support.run([python, "-W", "ignore", WORK] + way, env=support.environment(output=os.path.join(folder, "%p.pb.gz"), rate=200))
    said = [json.loads(line) for line in done.stdout.decode().splitlines()]
    check(f"{who}: all end well, nothing on stderr", done.returncode == 0 and not done.stderr and len(said) >= 2, done)
    profiles = profiles_in(folder, {pid for pid, *_ in said})
    end = time.time() + 10
    while not is_right(said, profiles) and time.time() < end:
        time.sleep(0.5)  # a file may be that of the first window, and be written again
        profiles = profiles_in(folder, profiles)
    for pid, tid, _, _, all_seconds in said:
        seen, lost = seconds_of_thread(profiles[pid], tid), seconds_of(profiles[pid], "", tid)[1]
        check(f"{who}: of its thread's time nothing is lost", seen + lost >= all_seconds - TAIL_S, (seen, lost, all_seconds))
    for pid, its in profiles.items():
        own = {(function, tid) for its_pid, tid, function, *_ in said if its_pid == pid}
        others = {(burner(s), s.labels.get("tid")) for profile in its for s in profile.samples if burner(s)} - own
        check(f"{who}: process {pid} has none of another's", not others, others)
    return said, profiles


def run_way(python, way, who):
    for _ in range(TRIES):
        said, profiles = run_once(python, way, who)
        if is_right(said, profiles):
            break
    for pid, tid, function, seconds, _ in said:
        seen, lost = seconds_of(profiles[pid], function, tid)
        check(f"{who}: {function} has its {seconds:.2f} s", seconds - LATE_S - lost <= seen <= seconds + LATE_S, (seen, lost))


def main():
    found = pythons.all_of_them()
    if sys.argv[1:] != ["all"]:
        found = sorted(dict(found).items())
    for minor, python in found:
        for way in WAYS:
            run_way(python, way, f"3.{minor} {' '.join(way)}")
    support.done()


if __name__ == "__main__":
    main()
