#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Labels from the thread that sets them to the pprof file, which pprof_file reads."""
import glob
import os
import re
import time

from pprof_file import Profile
from support import SOURCE, check, done, environment, run, scratch

where = scratch()
HOST = os.path.join(where, "label_host")
built = run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-g", "-pthread", "-I",
             os.path.join(SOURCE, "include"), "-o", HOST, os.path.join(SOURCE, "tests", "system", "label_host.c")])
check("the host compiles without a warning", built.returncode == 0, built.stderr.decode())


def of(profile, function):
    """{labels: samples} of what ran under this function"""
    counts = {}
    for sample in profile.samples:
        if function in sample.stack:
            own = {k: v for k, v in sample.labels.items() if k not in ("thread", "tid")}
            key = tuple(sorted(own.items()))
            counts[key] = counts.get(key, 0) + sample.values[0]
    return counts


def folded(profile):
    return profile.losses.get("labels", (0, 0))[0]


def start(*arguments, **settings):
    directory = scratch()
    result = run([HOST, *arguments], env=environment(**settings), cwd=directory)
    check(f"{arguments[0]} ends as it would", result.returncode == 0 and not result.stderr, result.stderr)
    return directory, result.stdout.decode().splitlines()


def profiles(directory, count):
    pattern = os.path.join(directory, "*.pb.gz")
    for _ in range(400):
        if len(glob.glob(pattern)) == count:
            break
        time.sleep(0.05)
    files = sorted(glob.glob(pattern), key=os.path.getmtime)
    check(f"{count} profiles", len(files) == count, files)
    return [Profile(f) for f in files]


def ran_under(profile, function, **labels):
    seen = of(profile, function)
    check(f"{function} ran under {labels or 'no labels'} alone", list(seen) == [tuple(sorted(labels.items()))] and
          sum(seen.values()) >= 5, seen)


RED_LARGE = {"colour": "red", "size": "large"}
directory, lines = start("ways", output="%p.pb.gz")
check("what the program sees", lines == [
    "red 0 errno 77", "made 1 same 1", "before 1", "unknown 1 1", "child 0", "flush 0",
    "keys -22 -22 -22 -22 -22 -22", "longest key 0", "ninth -28, changed 0", "none 1", "long value 0"], lines)
child, parent = profiles(directory, 2)
ran_under(parent, "plain")
ran_under(parent, "red", colour="red")
ran_under(parent, "red_large", **RED_LARGE)
ran_under(parent, "blue_large", colour="blue", size="large")
ran_under(parent, "large", size="large")
ran_under(parent, "in_thread")
ran_under(parent, "in_thread_given", **RED_LARGE)
ran_under(parent, "after_restart", **RED_LARGE)
ran_under(child, "in_child", size="large")
ran_under(child, "in_child_own", size="large", role="child")
check("nothing folded", folded(parent) == 0 and folded(child) == 0, parent.comments)

directory, lines = start("settings", "output=second.pb.gz", output="first.pb.gz")
check("settings: what the program sees", lines == ["start 0", "flush 0"], lines)
first, second = profiles(directory, 2)
ran_under(first, "red", colour="red")
ran_under(second, "after_new_settings", colour="red")

directory, lines = start("many", output="%p.pb.gz")
(many,) = profiles(directory, 1)
ran_under(many, "few", phase="start")
check("over the limit: the last values are 'other'", list(of(many, "many")) == [(("request", "other"),)],
      of(many, "many"))
check("and each is counted", 5000 < folded(many) < 10000, many.comments)
values = {sample.labels.get("request") for sample in many.samples}
check("below it they are themselves", any(v and re.fullmatch(r"[ab]\d+", v) for v in values), values)

directory, lines = start("cost", output="%p.pb.gz")
print(lines)

# One flame graph and collapsed stacks know nothing of labels.
directory, lines = start("ways", output="%p.collapsed")
for _ in range(400):
    if len(glob.glob(directory + "/*.collapsed")) == 2:
        break
    time.sleep(0.05)
text = "".join(open(f).read() for f in glob.glob(directory + "/*.collapsed"))
check("collapsed stacks hold no label", "red_large" in text and "colour" not in text, text[:300])
done()
