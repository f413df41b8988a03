# SPDX-License-Identifier: Apache-2.0
"""handler: one tick at 40 frames. The handler alone, called as the kernel calls it; beside libprofiler's."""
import os
import subprocess

import measure as m

PROGRAM = os.path.join(m.PROGRAMS, "bench_handler")
DEPTH = "40"


def one_run(name, env):
    """{(what, which): [ns]}"""
    wanted = ["deepprof-table"] if name == "deepprof" else []
    out = subprocess.run([PROGRAM, DEPTH, str(m.rounds(40, 3)), str(m.rounds(2, 0.1)), *wanted], env=env,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    rows = {}
    for row in out.decode().splitlines():
        what, which, ns = row.split()
        if what == "handler":
            which = "first" if which == "0" else "next"
        rows.setdefault((what, which), []).append(float(ns))
    return rows


def main():
    m.heading(f"handler: one tick at {DEPTH} frames, without the kernel's part, ns")
    variants = {"deepprof": m.with_deepprof(250, first=m.TAP)}
    profiler = m.peer("libprofiler")
    if profiler:
        variants["libprofiler"] = m.with_libprofiler(profiler, 250, first=m.TAP)
    runs = m.in_turns(variants, m.rounds(7), one_run)
    for name, values in runs.items():
        for which, what in (("next", "caches warm"), ("first", "after a pause of 60 ms")):
            figures = [m.median(run[("handler", which)]) for run in values]
            m.line(f"{name}, {what}", m.figure(figures, 1, "{:.0f}"),
                   "≤ 1000" if name == "deepprof" and which == "next" else "")
    if profiler:
        ratio = [m.median(a[("handler", "next")]) / m.median(b[("handler", "next")])
                 for a, b in zip(runs["deepprof"], runs["libprofiler"])]
        m.line("deepprof / libprofiler, warm", "× " + m.figure(ratio, 1, "{:.3f}"))
