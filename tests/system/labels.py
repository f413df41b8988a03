#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Labels from the thread that sets them to the pprof file, which a decoder of our own reads (profile.proto)."""
import glob
import gzip
import os
import re
import time

from support import SOURCE, check, done, environment, run, scratch

where = scratch()
HOST = os.path.join(where, "label_host")
built = run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-g", "-pthread", "-I",
             os.path.join(SOURCE, "include"), "-o", HOST, os.path.join(SOURCE, "tests", "system", "label_host.c")])
check("the host compiles without a warning", built.returncode == 0, built.stderr.decode())


def fields(data):
    """(number, value) of one message: an int, or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            size = varint()
            yield tag >> 3, data[at:at + size]
            at += size


def numbers(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0


class Profile:
    """samples: (function names leaf first, string labels without the thread's name, count)"""
    def __init__(self, path):
        data = gzip.open(path).read()
        texts, functions, locations, samples, comments = [], {}, {}, [], []
        for number, value in fields(data):
            if number == 6:
                texts.append(value.decode())
            elif number == 5:
                one = dict(fields(value))
                functions[one[1]] = one.get(2, 0)
            elif number == 4:
                lines = [dict(fields(v)).get(1, 0) for n, v in fields(value) if n == 4]
                locations[dict(fields(value))[1]] = lines
            elif number == 2:
                samples.append(list(fields(value)))
            elif number == 13:
                comments += list(numbers(value)) if isinstance(value, bytes) else [value]
        self.comments = [texts[c] for c in comments]
        self.samples = []
        for parts in samples:
            stack, count, labels = [], None, {}
            for number, value in parts:
                if number == 1:
                    stack += list(numbers(value)) if isinstance(value, bytes) else [value]
                elif number == 2 and count is None:
                    count = next(numbers(value)) if isinstance(value, bytes) else value
                elif number == 3:
                    label = dict(fields(value))
                    if label.get(2):
                        labels[texts[label[1]]] = texts[label[2]]
            names = [texts[functions[f]] for location in stack for f in locations[location]]
            labels.pop("thread", None)
            self.samples.append((names, labels, count))

    def of(self, function):
        """{labels: samples} of what ran under this function"""
        counts = {}
        for names, labels, count in self.samples:
            if function in names:
                key = tuple(sorted(labels.items()))
                counts[key] = counts.get(key, 0) + count
        return counts

    def loss(self, reason):
        return sum(int(m[1]) for c in self.comments for m in [re.search(rf"\b{reason}=(\d+)", c)] if m)


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
    seen = profile.of(function)
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
ran_under(child, "in_child_own", size="large", process="child")
check("nothing folded", parent.loss("labels") == 0 and child.loss("labels") == 0, parent.comments)

directory, lines = start("settings", "output=second.pb.gz", output="first.pb.gz")
check("settings: what the program sees", lines == ["start 0", "flush 0"], lines)
first, second = profiles(directory, 2)
ran_under(first, "red", colour="red")
ran_under(second, "after_new_settings", colour="red")

directory, lines = start("many", output="%p.pb.gz")
(many,) = profiles(directory, 1)
ran_under(many, "few", phase="start")
check("over the limit: the last values are 'other'", list(many.of("many")) == [(("request", "other"),)],
      many.of("many"))
check("and each is counted", 5000 < many.loss("labels") < 10000, many.comments)
values = {dict(l).get("request") for _, l, _ in many.samples}
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
