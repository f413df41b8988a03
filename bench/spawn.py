# SPDX-License-Identifier: Apache-2.0
"""spawn: what a process that lives a moment pays. CPU of /bin/true, preloaded and not."""
import measure as m


def main():
    m.heading("spawn: CPU of /bin/true, microseconds")
    variants = {"plain": m.environment(), "plain again": m.environment(), "deepprof": m.with_deepprof()}
    profiler, tcmalloc = m.peer("libprofiler"), m.peer("libtcmalloc")
    if profiler:
        variants["libprofiler"] = m.with_libprofiler(profiler)
    if tcmalloc:
        variants["libtcmalloc"] = m.environment(tcmalloc)
    results = m.in_turns(variants, m.rounds(600, 5), lambda name, env: m.cpu_of_child(["/bin/true"], env))
    m.line("plain", m.figure(results["plain"], 1e6, "{:.0f}"))
    for name in list(variants)[1:]:
        m.line(name + " − plain", m.figure(m.differences(results, name, "plain"), 1e6, "{:+.0f}"),
               "≤ +300" if name == "deepprof" else "")
