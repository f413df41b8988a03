# SPDX-License-Identifier: Apache-2.0
"""memory: what a host and its agent hold. A small program, 1000 threads; the agent of one host and of 100 workers."""
import os
import subprocess
import time

import measure as m

HOST = os.path.join(m.PROGRAMS, "bench_host")


class Host:
    """A bench_host that waits at its end, so that somebody can look."""

    def __init__(self, env, *args, wrap=()):
        # No descriptor of ours in it: its input ends when we close it.
        self.process = subprocess.Popen([*wrap, HOST, *map(str, args)], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()
        self.pid = self.process.pid

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def host_memory(env, threads, burn_ms):
    host = Host(env, threads, burn_ms)
    time.sleep(0.3)  # the agent has taken what there is
    sizes = m.memory_of(host.pid)
    host.end()
    # The region is shared with the agent, hence in no "Private"; what a host would not hold without us is both.
    sizes["Own"] = sizes["Private"] + sizes["Shared_Dirty"]
    return sizes


def compare_hosts(what, threads, burn_ms, count, per=None):
    variants = {"plain": m.environment(), "plain again": m.environment(), "deepprof": m.with_deepprof()}
    profiler = m.peer("libprofiler")
    if profiler:
        variants["libprofiler"] = m.with_libprofiler(profiler)
    results = m.in_turns(variants, m.rounds(count, 1), lambda name, env: host_memory(env, threads, burn_ms))
    for name in list(variants)[1:]:
        added = {key: m.median([a[key] - b[key] for a, b in zip(results[name], results["plain"])])
                 for key in ("Own", "Pss", "Rss")}
        text = f"{added['Own']:+5.0f} KiB of its own, {added['Pss']:+5.0f} Pss, {added['Rss']:+5.0f} Rss"
        if per:
            text += f"; {added['Own'] / per:.2f} KiB a thread"
        goal = ("≤ 24 KiB a sampled thread" if per else "≤ 512 KiB") if name == "deepprof" else ""
        m.line(f"{what}: {name}", text, goal)


def agent_of(hosts, what, goal):
    agent = m.wait_for_agent()
    time.sleep(1.5)
    if agent is None:
        print("  no agent came")
        return
    now = m.memory_of(agent)
    m.line(f"agent, {what}, sampling", f"{now['Rss'] / 1024:.1f} MiB Rss, {now['Pss'] / 1024:.1f} Pss, "
           f"{now['Private'] / 1024:.1f} private", goal)
    for host in hosts:
        host.end()
    peak = 0
    while m.cpu_of(agent) is not None:
        try:
            peak = m.peak_of(agent)
        except (OSError, StopIteration):
            break
        time.sleep(0.02)
    m.line(f"agent, {what}, highest ever", f"{peak / 1024:.1f} MiB Rss, with names read and profiles written", goal)


# A machine on which nobody has installed debug files: libdw unpacks libc's to 10 MiB and keeps as much beside.
HIDDEN = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /usr/lib/debug && exec "$@"', "sh")


def agents_memory(what, wrap):
    m.wait_for_no_agent()
    agent_of([Host(m.with_deepprof(), 0, 1000, wrap=wrap)], f"one host{what}", "≤ 16 MiB")
    m.wait_for_no_agent()
    workers = m.rounds(100, 10)
    agent_of([Host(m.with_deepprof(), 0, 100, workers, wrap=wrap)], f"{workers} workers{what}", "≤ 32 MiB")
    m.wait_for_no_agent()


def main():
    threads = m.rounds(1000, 50)
    m.heading("memory: of the host, KiB more than plain at the same point")
    compare_hosts("small program", 0, 300, 7)
    compare_hosts(f"{threads} threads", threads, 11, 3, per=threads)
    m.heading("memory: of the agent")
    if os.path.isdir("/usr/lib/debug/.build-id"):
        agents_memory(", debug files of libc", ())
        if subprocess.call([*HIDDEN, "true"], stderr=subprocess.DEVNULL) == 0:
            agents_memory(", no debug files", HIDDEN)
        else:
            print("  without debug files: needs the right to mount")
    else:
        agents_memory(", no debug files", ())
