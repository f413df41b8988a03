#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sample of an asyncio task carries the name that it has at that moment, and the coroutines of the tasks that await it. The
program computes in a function of its own for each name, so that each sample says what its name must be, and who awaits it."""
import os
import sys

import python_names
import python_runs
import pythons
import support
from support import check

WORK = os.path.join(support.SOURCE, "tests", "system", "python_tasks_work.py")
SECONDS = 4  # of CPU time
CHAINS_FROM = 10


def python_part(sample):
    return [f.system_name for f in reversed(sample.frames) if f.object == "[python]" or f.name == "[awaits]"]


def has_run(names, run):
    return any(names[i:i + len(run)] == run for i in range(len(names) - len(run) + 1))


def check_without(profile, names, who):
    """Functions that no task runs."""
    wrong = [s.labels["python.task"] for s in profile.samples
             if "python.task" in s.labels and names.get(python_names.leaf_of(s, names), "") is None]
    met = sum(s.values[0] for s in profile.samples if names.get(python_names.leaf_of(s, names), "") is None)
    check(f"{who}: what no task runs has no task's name", met and not wrong, (met, wrong[:3]))


def check_chains(profile, chains, who):
    total = shown = wrong = 0
    first, met = None, set()
    for sample in profile.samples:
        leaf = python_names.leaf_of(sample, chains)
        if not leaf:
            continue
        names = python_part(sample)
        total += sample.values[0]
        if "[awaits]" not in names:
            first = first or (leaf, names)
            continue
        shown += sample.values[0]
        met.add(leaf)
        at = names.index(leaf)
        if not has_run(names[:at + 1], chains[leaf] + [n for n in names[at - 1:at + 1] if n in chains]):
            wrong += sample.values[0]
            first = (leaf, names)
    print(f"{who}: awaiters: {total} samples, {total - shown} without, {wrong} wrong, {len(met)} functions", flush=True)
    check(f"{who}: no awaiter is wrong", total and wrong == 0, (wrong, shown, first))
    # A hundred ticks, and each is some hundredths of them: 99 % of all interpreters' together.
    check(f"{who}: nearly all of them have theirs", shown >= 0.97 * total, (shown, total, first))
    return shown, total


def run_one(python, who, *more):
    run = python_runs.profile_of(python, who, WORK, SECONDS, *more)
    if not run:
        return None
    profile, known = run
    if pythons.is_free_threaded(python):
        python_names.check_no_names(profile, "python.task", known["names"], who)
        return None
    python_names.check_names(profile, {f: n for f, n in known["names"].items() if n}, "python.task", {None}, who)
    check_without(profile, known["names"], who)
    return check_chains(profile, known["chains"], who) if int(who.split()[0][2:]) >= CHAINS_FROM else None


def has_uvloop(python):
    return support.run([python, "-c", "import uvloop"]).returncode == 0


def main():
    found = pythons.all_of_them()
    wanted = sys.argv[1:]
    chains = []
    for minor, python in found:
        if not wanted or str(minor) in wanted:
            chains.append(run_one(python, f"3.{minor} {python}"))
            if has_uvloop(python):
                chains.append(run_one(python, f"3.{minor} {python} uvloop", "uvloop"))
    if not found:
        sys.exit(77)
    shown, total = (sum(values) for values in zip((0, 0), *filter(None, chains)))
    check("99 % of all have their awaiters", shown >= 0.99 * total, (shown, total))
    support.done()


if __name__ == "__main__":
    main()
