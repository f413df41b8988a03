# SPDX-License-Identifier: Apache-2.0
"""python: what a tick costs a CPython program, and its start; for each interpreter that is found."""
import os
import shutil
import subprocess
import sys
import tempfile

import measure as m

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "system"))
import pythons

PROGRAM = """
import sys, time
def leaf(end):
    total = 0
    while time.process_time() < end:
        for i in range(20000):
            total += i
    return total
def by_python(depth, end):
    return by_python(depth - 1, end) if depth else leaf(end)
def by_c(depth, end):
    return max([depth], key=lambda x: by_c(depth - 1, end)) if depth else leaf(end)
shape = {"python": by_python, "c": by_c}[sys.argv[1]]
shape(int(sys.argv[2]), time.process_time() + float(sys.argv[3]))
"""


# Nobody else runs on its processor meanwhile: a tick finds in the caches what the one before left there. Beside others
# it finds what they left, and takes ten times as long; which it is differs from run to run.
ALONE = ("chrt", "-f", "10", "taskset", "-c", str(max(os.sched_getaffinity(0))))


def may_be_alone():
    return shutil.which("chrt") and subprocess.call([*ALONE, "true"], stderr=subprocess.DEVNULL) == 0


def handler(python, shape, depth, seconds, wrap=()):
    """Median ns of the ticks of one run, its first third left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tap")
        env = m.with_deepprof(250, first=m.TAP)
        env["BENCH_TAP"] = path
        m.cpu_of_child([*wrap, python, "-c", PROGRAM, shape, str(depth), str(seconds)], env)
        log = m.Tap(path).log()
    return m.median(log[len(log) // 3:])


def main():
    m.heading("python: the handler in a busy program, ns a tick; CPU of `python -c pass`, ratio to plain")
    found = {}
    for minor, python in pythons.all_of_them():
        found.setdefault(minor, python)
    wanted = [int(v) for v in os.environ.get("BENCH_PYTHONS", "").split()]
    for minor, python in found.items():
        if wanted and minor not in wanted:
            continue
        for shape, depth, what in (("python", 0, "4 frames"), ("python", 30, "30 Python frames more"),
                                   ("c", 15, "15 × (Python, C, lambda) more")):
            ways = {"beside others": (), **({"alone on its processor": ALONE} if may_be_alone() else {})}
            values = m.in_turns(ways, m.rounds(3, 1),
                                lambda _, wrap: handler(python, shape, depth, m.rounds(3, 0.5), wrap))
            for way in ways:
                m.line(f"3.{minor}, {what}, {way}", m.figure(values[way], 1, "{:.0f}"))
        variants = {"plain": m.environment(), "preloaded": m.with_deepprof(), "plain again": m.environment()}
        runs = m.in_turns(variants, m.rounds(60, 3), lambda name, env: m.cpu_of_child([python, "-c", "pass"], env))
        m.line(f"3.{minor}, start", "× " + m.figure(m.ratios(runs, "preloaded", "plain")), "≤ 1.1")
        m.line(f"3.{minor}, start, A/A", "× " + m.figure(m.ratios(runs, "plain again", "plain")))
