# SPDX-License-Identifier: Apache-2.0
"""threads: what pthread_create and pthread_join of a thread cost more."""
import os
import subprocess

import measure as m


def one_run(env):
    out = subprocess.run([os.path.join(m.PROGRAMS, "bench_threads"), "12"], env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout
    rows = [[float(x) for x in row.split()] for row in out.decode().splitlines()]
    return [m.median(column) for column in zip(*rows)]


def main():
    m.heading("threads: pthread_create + pthread_join, microseconds each")
    variants = {"plain": m.environment(), "plain again": m.environment(), "deepprof": m.with_deepprof()}
    profiler = m.peer("libprofiler")
    if profiler:
        variants["libprofiler"] = m.with_libprofiler(profiler)
    runs = m.in_turns(variants, m.rounds(40), lambda name, env: one_run(env))
    for column, what in enumerate(("CPU", "waiting")):
        results = {name: [run[column] for run in values] for name, values in runs.items()}
        m.line(f"{what}: plain", m.figure(results["plain"]))
        for name in list(variants)[1:]:
            m.line(f"{what}: {name} − plain", m.figure(m.differences(results, name, "plain"), 1, "{:+.2f}"),
                   "≤ +1.5" if name == "deepprof" and what == "CPU" else "")
