# SPDX-License-Identifier: Apache-2.0
"""labels: what the Python package's labels cost, where they do nothing but that."""
import os
import sys

import measure as m

# argv: what, how often. Prints nanoseconds of CPU of each.
PROGRAM = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[3])
import deepprof
what, count = sys.argv[1], int(sys.argv[2])

async def steps():
    for _ in range(count):
        await asyncio.sleep(0)

async def task():
    if what == "labelled":
        with deepprof.labels(endpoint="/x"):
            await steps()
    elif what == "decorated":
        await deepprof.labels(endpoint="/x")(steps)()
    else:
        await steps()

async def main():
    if what != "plain":
        with deepprof.labels(endpoint="/y"):
            pass
    start = time.process_time()
    await asyncio.gather(task(), task())
    return (time.process_time() - start) / 2

def scopes():
    start = time.process_time()
    if what == "with":
        for _ in range(count):
            with deepprof.labels(endpoint="/x"):
                pass
    else:
        @deepprof.labels(endpoint="/x")
        def decorated():
            pass
        for _ in range(count):
            decorated()
    return time.process_time() - start

seconds = scopes() if what in ("with", "call") else asyncio.run(main())
print(seconds / count * 1e9)
"""


def nanoseconds(_, variant):
    what, env = variant
    count = "2000" if m.IS_SHORT else "50000"
    path = os.path.join(m.SCRATCH, "labels_host.py")
    output = os.path.join(m.SCRATCH, "labels_host.out")
    with open(path, "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    command = f"{sys.executable} {path} {what} {count} {m.SOURCE}/runtimes/python >{output}"
    m.cpu_of_child(["/bin/sh", "-c", command], env)
    with open(output, encoding="utf-8") as file:
        return float(file.read())


def main():
    plain, ours = m.environment(), m.with_deepprof()
    m.heading(f"labels: the Python package, {sys.version.split()[0]}, nanoseconds of CPU")
    scopes = {"a with statement, no library": ("with", plain), "a with statement": ("with", ours),
              "a decorated call, no library": ("call", plain), "a decorated call": ("call", ours)}
    results = m.in_turns(scopes, m.rounds(9), nanoseconds)
    for name in scopes:
        m.line(name, m.figure(results[name], 1, "{:.0f}"), "< 1000" if "no library" in name else "")
    m.heading("labels: asyncio steps that do nothing else, × those of a program that uses no labels")
    steps = {"plain": ("plain", ours), "plain again": ("plain", ours), "other tasks have labels": ("followed", ours),
             "in a with statement": ("labelled", ours), "decorated": ("decorated", ours)}
    results = m.in_turns(steps, m.rounds(9), nanoseconds)
    m.line("plain", m.figure(results["plain"], 1, "{:.0f}") + " ns a step")
    for name in list(steps)[1:]:
        m.line(name, "× " + m.figure(m.ratios(results, name, "plain")) + ", + " +
               m.figure(m.differences(results, name, "plain"), 1, "{:.0f}") + " ns")
