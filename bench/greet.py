# SPDX-License-Identifier: Apache-2.0
"""greet: what the host's thread waits when it greets a running agent or starts one; how long the agent lingers."""
import os
import subprocess
import time

import measure as m

TICKS = 40


def ticks_of(path):
    """Microseconds of each of the first ticks."""
    tap = m.Tap(path)
    return [ns / 1000 for ns in tap.log(TICKS)]


def one_host():
    path = os.path.join(m.SCRATCH, "ticks")
    if os.path.exists(path):
        os.unlink(path)
    subprocess.run([os.path.join(m.PROGRAMS, "bench_host"), "0", "400"], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                   env=dict(m.with_deepprof(first=m.TAP), BENCH_TAP=path))
    return ticks_of(path)


def main():
    m.heading("greet: longest of a host's first ticks, microseconds of waiting (one thread)")
    starts, greetings, others = [], [], []
    for _ in range(m.rounds(25, 1)):
        m.wait_for_no_agent()
        starts.append(max(one_host()[:5]))
        # The agent of before lingers: the first tick finds it.
        ticks = one_host()
        greetings.append(ticks[0])
        others.append(sorted(ticks[1:])[-2:])
    # Whoever else runs meanwhile makes us wait longer: the best quarter is what the calls themselves take.
    for what, figures, goal in (("start of an agent", starts, "≤ 500, once"),
                                ("greeting of a running one", greetings, "≤ 100, once")):
        m.line(what, m.figure(figures, 1, "{:.0f}") + f", best quarter {sorted(figures)[len(figures) // 4]:.0f}", goal)
    m.line("then, tables: longest", m.figure([o[-1] for o in others], 1, "{:.0f}"))
    m.line("then, second longest", m.figure([o[0] for o in others], 1, "{:.0f}"))
    m.wait_for_no_agent()
    lingers = []
    for milliseconds in (["400", "1500"] * m.rounds(3, 1)):
        subprocess.run([os.path.join(m.PROGRAMS, "bench_host"), "0", milliseconds], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=m.with_deepprof())
        end = time.time()
        m.wait_for_no_agent()
        lingers.append(time.time() - end)
    m.line("agent without a host lingers", f"{max(lingers):.2f} s at most of {len(lingers)}", "≤ 1 s, then work ends")
