# SPDX-License-Identifier: Apache-2.0
"""single: a single-threaded program stays as fast as it was. CPU beside plain, and beside an idle second thread."""
import os

import measure as m

SINGLE = os.path.join(m.PROGRAMS, "bench_single")


def compare(what, variants, goal):
    results = m.in_turns(variants, m.rounds(13), lambda name, variant: m.cpu_of_child(*variant))
    m.line(f"{what}: plain", m.figure(results["plain"], 1e3, "{:.0f}") + " ms of CPU")
    for name in list(variants)[1:]:
        m.line(f"{what}: {name}", "× " + m.figure(m.ratios(results, name, "plain"), 1, "{:.4f}"),
               goal if name == "deepprof" else "")


def preprocessed():
    """A C++ file with all it includes in it, and the compiler proper: one process that only computes."""
    path = os.path.join(m.SCRATCH, "compile.ii")
    source = os.path.join(m.SOURCE, "bench", "bench_busy.cpp")
    if os.system(f"g++ -E -I{m.SOURCE} -D_GNU_SOURCE {source} -o {path}") != 0:
        return None
    compiler = os.popen("g++ -print-prog-name=cc1plus").read().strip()
    return [compiler, "-fpreprocessed", "-quiet", "-O1", path, "-o", "/dev/null"]


def main():
    m.heading("single: CPU of single-threaded programs, × plain")
    plain, ours = m.environment(), m.with_deepprof()
    for what, turns in (("tree", "60" if m.IS_SHORT else "1200"), ("stdio", "60" if m.IS_SHORT else "600")):
        args = [SINGLE, what, turns]
        compare({"tree": "shared_ptr tree", "stdio": "getc/putc"}[what],
                {"plain": (args, plain), "plain again": (args, plain), "deepprof": (args, ours),
                 "deepprof, agent=thread": (args, m.with_deepprof(agent="thread")),
                 "plain, an idle thread": (args + ["thread"], plain)}, "× 1.00 as plain again")
    compiler = preprocessed()
    if compiler:
        compare("gcc", {"plain": (compiler, plain), "plain again": (compiler, plain), "deepprof": (compiler, ours),
                        "deepprof, agent=thread": (compiler, m.with_deepprof(agent="thread"))},
                "× 1.00 as plain again")
