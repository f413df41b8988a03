#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sample of a Python thread carries the name that threading gives it at that moment. The program spins in a function of its
own for each name, so that each sample says what its name must be."""
import os
import sys

import python_runs
import pythons
import support
from support import check

WORK = os.path.join(support.SOURCE, "tests", "system", "python_names_work.py")
SECONDS = 4  # of CPU time
SAMPLES_LEAST = 300


def as_shown(name):
    """At most 127 characters and 256 bytes as CPython keeps them."""
    width = 1 if all(ord(c) < 256 for c in name) else 2 if all(ord(c) < 65536 for c in name) else 4
    return name[:min(127, 256 // width)]


def leaf_of(sample, names):
    return next((f.system_name for f in sample.frames if f.object == "[python]" and f.system_name in names), None)


def check_names(profile, names, label, unnamed, who):
    """names: {function: name}; unnamed: what the label is where the name is not known."""
    total = given = wrong = 0
    first, met = None, set()
    for sample in profile.samples:
        leaf = leaf_of(sample, names)
        if not leaf:
            continue
        total += sample.values[0]
        shown = sample.labels.get(label)
        if shown in unnamed:
            continue
        given += sample.values[0]
        met.add(leaf)
        if shown != as_shown(names[leaf]):
            wrong += sample.values[0]
            first = first or (leaf, names[leaf], shown)
    print(f"{who}: {label}: {total} samples, {total - given} without a name, {wrong} wrong, {len(met)} functions", flush=True)
    check(f"{who}: there are samples", total >= SAMPLES_LEAST, total)
    check(f"{who}: no {label} name is wrong", wrong == 0, (wrong, given, first))
    check(f"{who}: 99 % of them have one", given >= 0.99 * total, (given, total))
    return met


def check_no_names(profile, label, names, who):
    given = {s.labels[label] for s in profile.samples if s.labels.get(label) in {as_shown(n) for n in names.values() if n}}
    check(f"{who}: free-threaded: no {label} names", not given, given)


def run_one(python, who):
    run = python_runs.profile_of(python, who, WORK, SECONDS)
    if not run:
        return
    profile, names = run
    if pythons.is_free_threaded(python):
        check_no_names(profile, "thread", names, who)
        return
    check_names(profile, names, "thread", {None, os.path.basename(python)[:15], "python3"}, who)


def main():
    found = pythons.all_of_them()
    wanted = sys.argv[1:]
    for minor, python in found:
        if not wanted or str(minor) in wanted:
            run_one(python, f"3.{minor} {python}")
    if not found:
        sys.exit(77)
    support.done()


if __name__ == "__main__":
    main()
