# SPDX-License-Identifier: Apache-2.0
"""allin: all the CPU that a sample costs. A busy C++ program, redis under redis-benchmark, gcc compiling.

Host: equal slices of work within one process, the profiler's timers off, off again, at 100 Hz and at 1000 Hz (which
the kernel delivers at CONFIG_HZ at most), in turns; the difference of CPU time over the difference of ticks. That
difference is small beside the machine's noise, so beside it stands what is measured directly: time in the handler, in
place, with the caches as the program leaves them. Agent: its CPU clock, over the ticks of its host."""
import os
import shutil
import subprocess
import time

import measure as m
import single

RATES = {"off": 0, "off again": 0, "100": 100, "1000": 1000}
STEADY = "second half"  # its windows' names are mostly known
BUSY = os.path.join(m.PROGRAMS, "bench_busy")


class Agent:
    """CPU of the agent that serves a host, from now on: its start, and names once read, are not counted again."""

    def __init__(self, tap=None):
        self.pid = m.wait_for_agent(3)
        self.start = m.cpu_of(self.pid) if self.pid else None
        self.tap, self.start_ticks = tap, tap.ticks() if tap else 0

    def cpu(self):
        now = m.cpu_of(self.pid) if self.pid else None
        return now - self.start if now is not None else None

    def tell(self, what):
        """What it took since for each tick; None after its end."""
        cpu, ticks = self.cpu(), self.tap.ticks() - self.start_ticks
        return (what, cpu, ticks) if cpu is not None and ticks else None


def report(name, slices, agents=(), goal=""):
    """slices: {rate: [(CPU seconds, ticks, ns in the handler)]}"""
    cpu = {rate: [s[0] for s in values] for rate, values in slices.items()}
    ticks = {rate: sum(s[1] for s in values) / len(values) for rate, values in slices.items()}
    off = [(a + b) / 2 for a, b in zip(cpu["off"], cpu["off again"])]
    noise = [a - b for a, b in zip(cpu["off again"], cpu["off"])]
    more = ticks["1000"] - ticks["100"]
    by_difference = [(a - b) / more * 1e6 for a, b in zip(cpu["1000"], cpu["100"])]
    by_off = [(a - b) / ticks["1000"] * 1e6 for a, b in zip(cpu["1000"], off)]
    handler = [s[2] / s[1] / 1e3 for s in slices["1000"] if s[1]]
    m.line(f"{name}, host, 1000 − 100 Hz", m.figure(by_difference, 1, "{:+.1f}") + " µs a sample")
    m.line(f"{name}, host, 1000 Hz − off", m.figure(by_off, 1, "{:+.1f}") + " µs a sample")
    m.line(f"{name}, A/A: off again − off", m.figure([n / more * 1e6 for n in noise], 1, "{:+.1f}") +
           " µs by the same division")
    m.line(f"{name}, host, in the handler", m.figure(handler) + " µs a sample", goal)
    for what, agent_cpu, agent_ticks in filter(None, agents):
        m.line(f"{name}, agent, {what}", f"{agent_cpu / agent_ticks * 1e6:.2f} µs a sample of {agent_ticks}",
               "≤ 2" if what == STEADY else "")
    return m.median(handler)


def profilers():
    found = {"deepprof": m.with_deepprof(250, first=m.TAP, window=2)}
    profiler = m.peer("libprofiler")
    if profiler:
        found["libprofiler"] = m.with_libprofiler(profiler, 250, first=m.TAP)
    return found


# ---- the busy program ----

def busy(name, env):
    path = os.path.join(m.SCRATCH, "busy-tap")
    slices = m.rounds(500, 5)
    rows, agents, tap, whole, half = {}, [], None, None, None
    process = subprocess.Popen([BUSY, str(slices), "8"], env=dict(env, BENCH_TAP=path), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    for text in process.stdout:
        rate, ns, ticks, handler = text.decode().split()
        if rate == "first":
            continue
        if tap is None:
            tap = m.Tap(path)
            whole = Agent(tap) if name == "deepprof" else None
        rows.setdefault(rate.replace("-", " "), []).append((int(ns) / 1e9, int(ticks), float(handler)))
        if whole and not half and len(rows[rate.replace("-", " ")]) > slices / 2:
            half = Agent(tap)
        agents = [a.tell(what) for a, what in ((whole, "all, names too"), (half, STEADY)) if a]
    process.wait()
    os.unlink(path)
    return rows, agents


# ---- redis ----

def redis(name, env):
    path = os.path.join(m.SCRATCH, "redis-tap")
    port = str(20000 + os.getpid() % 20000)
    server = subprocess.Popen(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly",
                               "no", "--dir", m.SCRATCH], env=dict(env, BENCH_TAP=path), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    load = ["redis-benchmark", "-p", port, "-q", "-n", "40000", "-c", "10", "-P", "8", "-t", "get,set", "-r", "20000"]

    def one_slice(hz):
        tap.set_hz(server.pid, hz)
        before = m.cpu_of(server.pid), tap.ticks(), tap.handler_ns()
        subprocess.run(load, stdout=subprocess.DEVNULL, check=True)
        return m.cpu_of(server.pid) - before[0], tap.ticks() - before[1], tap.handler_ns() - before[2]

    try:
        time.sleep(1)
        tap = m.Tap(path)
        for _ in range(3):
            one_slice(250)
        agents = [Agent(tap)] if name == "deepprof" else []
        slices = m.in_turns(RATES, m.rounds(15, 1), lambda rate, hz: one_slice(hz))
        agents += [Agent(tap)] if name == "deepprof" else []
        more = m.in_turns(RATES, m.rounds(15, 1), lambda rate, hz: one_slice(hz))
        time.sleep(0.2)
        return ({rate: slices[rate] + more[rate] for rate in RATES},
                [a.tell(what) for a, what in zip(agents, ("all, names too", STEADY))])
    finally:
        server.terminate()
        server.wait()


# ---- gcc ----

def gcc(compiler):
    """Whole runs: a compiler does nothing twice. The profilers take turns with plain runs."""
    variants = {"plain": (m.environment(m.TAP), 0), "plain again": (m.environment(m.TAP), 0)}
    for name, env in profilers().items():
        variants[name + " 100"] = dict(env, DEEPPROF_RATE=100, CPUPROFILE_FREQUENCY="100"), name
        variants[name + " 1000"] = dict(env, DEEPPROF_RATE=1000, CPUPROFILE_FREQUENCY="1000"), name
    path = os.path.join(m.SCRATCH, "gcc-tap")
    agents = {"deepprof 100": [], "deepprof 1000": []}

    def one_run(name, variant):
        env, profiler = variant
        if os.path.exists(path):
            os.unlink(path)
        agent = Agent() if profiler == "deepprof" else None
        cpu = m.cpu_of_child(compiler, {k: str(v) for k, v in dict(env, BENCH_TAP=path).items()})
        tap = m.Tap(path)
        if agent and agent.pid:
            time.sleep(0.5)  # the agent names and writes what it has
            agents[name].append((agent.cpu(), tap.ticks()))
        return cpu, tap.ticks(), tap.handler_ns()

    # Somebody who keeps one agent alive from run to run, so that its start is not counted.
    keeper = subprocess.Popen([os.path.join(m.PROGRAMS, "bench_host"), "0", "300"], env=m.with_deepprof(),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    keeper.stdout.readline()
    try:
        runs = m.in_turns(variants, m.rounds(12, 1), one_run)
    finally:
        keeper.stdin.close()
        keeper.wait()
    for name in profilers():
        slices = {"off": runs["plain"], "off again": runs["plain again"], "100": runs[name + " 100"],
                  "1000": runs[name + " 1000"]}
        report(name, slices)
    # A host's end, names and file included, costs the agent the same at both rates.
    pairs = [(a, b) for a, b in zip(agents["deepprof 1000"], agents["deepprof 100"]) if a[0] is not None and b[0] is not None]
    if pairs:
        m.line("deepprof, agent, 1000 − 100 Hz",
               m.figure([(a[0] - b[0]) / (a[1] - b[1]) * 1e6 for a, b in pairs], 1, "{:+.1f}") + " µs a sample", "≤ 2")
        m.line("deepprof, agent, each run", m.figure([b[0] * 1e3 for _, b in pairs], 1, "{:.0f}") +
               " ms at 100 Hz, its names and its file included")


def main():
    for what, run in (("busy C++ program, 4 threads", busy), ("redis under redis-benchmark", redis)):
        m.heading(f"allin: {what}")
        if run is redis and not (shutil.which("redis-server") and shutil.which("redis-benchmark")):
            print("  redis-server, redis-benchmark: not installed")
            continue
        handlers = {}
        for name, env in profilers().items():
            handlers[name] = report(name, *run(name, env))
        if len(handlers) > 1:
            m.line("in the handler, deepprof / libprofiler",
                   f"× {handlers['deepprof'] / handlers['libprofiler']:.3f}", "≤ 0.5")
    m.heading("allin: gcc compiling")
    compiler = single.preprocessed()
    if compiler:
        gcc(compiler)
    else:
        print("  g++: not installed")
