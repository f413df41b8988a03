#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hotspot_frames.py [VERSION|MODE...]: Java frames are the truth: every call between two of them is one that the caller's class
file makes at that line, known recursions have their known depth, shares of CPU time are those that Java's own clock tells, and
stacks are whole."""
import os
import re
import sys

import jdks
import support
from class_files import Classes
from pprof_file import Profile
from support import check

SECONDS = 3
SAMPLES_LEAST = 300
WORK = {"HotspotWork.mix", "HotspotWork.recursion", "HotspotWork.reflection", "HotspotWork.shares"}
# Of ticks before the first unwind table, where the copy of the stack found no room or was too short.
EARLY = {"[incomplete: no table yet]", "[frames missing]"}
# Classes that the VM makes as it goes.
MADE = re.compile(r"\$\$Lambda|LambdaForm|Generated\w*Accessor|\$Proxy|BoundMethodHandle\$Species")
JAVA_NAME = re.compile(r"^[\w$.]+\.(?:[\w$]+|<init>|<clinit>)$")
MODES = [
    ("as it comes", []),
    ("interpreter", ["-Xint"]),
    ("C1", ["-XX:TieredStopAtLevel=1"]),
    ("C2", ["-XX:-TieredCompilation"]),
    ("Serial", ["-XX:+UseSerialGC"]),
    ("Parallel", ["-XX:+UseParallelGC"]),
    ("ZGC", ["-XX:+UnlockExperimentalVMOptions", "-XX:+UseZGC"]),
    ("Shenandoah", ["-XX:+UnlockExperimentalVMOptions", "-XX:+UseShenandoahGC"]),
    ("no compressed classes", ["-XX:-UseCompressedClassPointers"]),
]


def is_java(frame):
    return frame.object == "[java]" and JAVA_NAME.match(frame.name) is not None


def split(frame):
    class_name, _, method = frame.name.rpartition(".")
    return class_name, method


def is_broken(sample):
    """Not from the thread's first function on, or with something that nobody knows."""
    if EARLY & set(sample.stack):
        return False
    # A stripped C library does not name its first two.
    return not (sample.stack[-1] in ("clone3", "__clone3", "clone", "_start", "start_thread") or
                all(name.startswith("libc.so.6+0x") for name in sample.stack[-2:])) or any(
                    name.startswith("[") for name in sample.stack)


def check_calls(profile, classes, mode, who):
    """What compilers note between safepoints is not always exact: C1 now and then gives an inlined call's caller another place
    of the same method."""
    samples = [(s.values[0], s.frames) for s in profile.samples]
    classes.read(split(f)[0] for _, frames in samples for f in frames if is_java(f))
    calls = unknown = impossible = bad_lines = bad_sources = leaves = no_line = 0
    first = first_line = first_source = None
    for count, frames in samples:
        shown = [f for f in frames if not (f.object == "[java]" and not is_java(f))]  # without stubs
        for callee, caller in zip(shown, shown[1:]):
            if not is_java(callee) or not is_java(caller):
                continue
            calls += count
            known = classes.ask(split(caller)[0])
            if not known:
                unknown += not MADE.search(caller.name) and count
                continue
            source, methods = known
            method = methods.get(split(caller)[1])
            allowed = method.calls.get(caller.line, set()) if method else set()
            if None not in allowed and split(callee)[1] not in allowed:
                impossible += count
                first = first or (caller.name, caller.line, callee.name, [(f.name, f.line) for f in frames])
            if (source or "") != caller.file:
                bad_sources += count
                first_source = first_source or (caller.name, caller.file, source)
        if shown and is_java(shown[0]) and classes.ask(split(shown[0])[0]):
            leaves += count
            no_line += not shown[0].line and count
            method = classes.ask(split(shown[0])[0])[1].get(split(shown[0])[1])
            # Behind its last bytecode a compiled method has no line, nor has a native one.
            if not method or (shown[0].line and shown[0].line not in method.lines):
                bad_lines += count
                first_line = first_line or (shown[0].name, shown[0].line)
    check(f"{who}: there are calls of Java by Java", calls >= 3 * SAMPLES_LEAST, calls)
    most = 0 if mode == "interpreter" else 0.0005 * calls
    check(f"{who}: each is one that the class file makes at that line", impossible <= most, (impossible, calls, first))
    check(f"{who}: nearly all are of classes that have a file", unknown <= 0.05 * calls, (unknown, calls))
    check(f"{who}: the source is the class file's", bad_sources == 0, (bad_sources, first_source))
    check(f"{who}: few leaves have no line", no_line <= 0.06 * leaves, (no_line, leaves))
    check(f"{who}: no leaf has a line that its method has not", bad_lines == 0, (bad_lines, leaves, first_line))


def check_whole(profile, who):
    """Of all threads that do the work."""
    samples = [s for s in profile.samples if any(f.name in WORK for f in s.frames)]
    total = sum(s.values[0] for s in samples)
    waiting = sum(s.values[0] for s in samples if EARLY & set(s.stack))
    broken = [s for s in samples if is_broken(s)]
    count = sum(s.values[0] for s in broken)
    check(f"{who}: there are samples", total >= SAMPLES_LEAST, total)
    check(f"{who}: few are told before the first unwind table", waiting <= 0.03 * total, (waiting, total))
    check(f"{who}: stacks are whole", count <= max(1, 0.0005 * total), (count, total, broken and broken[0].stack))


def check_depth(profile, mode, who):
    """From the bottom of a recursion of 40, whatever the compiler has inlined. An instruction of which C2 has noted nothing is
    taken for what stands behind it: the way back from a call for the bottom, once in some hundred ticks."""
    total = wrong = 0
    first = None
    for sample in profile.samples:
        names = [f.name for f in sample.frames if is_java(f)]
        if "HotspotWork.bottom" not in names:
            continue
        total += sample.values[0]
        if names.count("HotspotWork.down") != 40 or names[names.index("HotspotWork.bottom") + 41] != "HotspotWork.recursion":
            wrong += sample.values[0]
            first = first or [(f.name, f.line) for f in sample.frames]
    most = 0 if mode in ("interpreter", "C1") else 0.04 * total
    check(f"{who}: a recursion of 40 has 40 frames", total > 20 and wrong <= most, (wrong, total, first))


def check_reflection(profile, mode, who):
    total = wrong = 0
    first = None
    for sample in profile.samples:
        names = [f.name for f in sample.frames if is_java(f)]
        if "HotspotWork.again" not in names or "HotspotWork.sum" not in names:
            continue
        total += sample.values[0]
        if names.count("HotspotWork.again") != 7:
            wrong += sample.values[0]
            first = first or [(f.name, f.line) for f in sample.frames]
    most = 0 if mode == "interpreter" else 0.05 * total
    check(f"{who}: seven calls through reflection are seven", total > 5 and wrong <= most, (wrong, total, first))


def check_shares(profile, truth, who):
    one = sum(s.values[0] for s in profile.samples if "HotspotWork.one" in s.stack)
    three = sum(s.values[0] for s in profile.samples if "HotspotWork.three" in s.stack)
    share, true_share = one / max(1, one + three), truth["one"] / (truth["one"] + truth["three"])
    # A tick tells of all periods since the last: the kernel's own tick of 4 ms or more. Four sigma.
    ticks = max(1, (one + three) * profile.period // 4000000)
    most = 4 * (true_share * (1 - true_share) / ticks) ** 0.5
    check(f"{who}: shares are those of Java's own clock", ticks > 10 and abs(share - true_share) <= most + 0.01,
          (share, true_share, ticks))


def run_one(jdk, mode, options, class_path, classes):
    who = f"{jdk}, {mode}"
    folder = support.scratch()
    path, truth = os.path.join(folder, "work.pb.gz"), os.path.join(folder, "truth")
    command = [jdk.java] + options + ["-cp", class_path, "HotspotWork"]
    plain = support.run(command + ["0", truth])
    if plain.returncode and any(text in plain.stdout + plain.stderr for text in (b"Unrecognized VM option", b"not supported")):
        print(f"skip {who}: this VM has no such option")
        return
    done = support.run(command + [str(SECONDS), truth], env=support.environment(output=path, rate=1000, agent="thread"))
    # Warnings of the VM begin with a time.
    check(f"{who}: the same result, and nothing on stderr", done.returncode == 0 and done.stdout.endswith(b"done\n") and
          done.stderr == plain.stderr, done)
    if not support.wait_for(path):
        check(f"{who}: its profile is there", False)
        return
    profile = Profile(path)
    with open(truth) as file:
        spent = {key: int(value) for key, value in (line.rsplit("=", 1) for line in file.read().splitlines())}
    check_whole(profile, who)
    check_calls(profile, classes, mode, who)
    check_depth(profile, mode, who)
    check_reflection(profile, mode, who)
    check_shares(profile, spent, who)


def main():
    compiler = jdks.javac()
    found = jdks.all_of_them()
    if not compiler or not found:
        print("skipped: no JDK here")
        sys.exit(77)
    class_path = support.scratch()
    source = os.path.join(support.SOURCE, "tests", "system", "HotspotWork.java")
    done = support.run([compiler, "-g", "-nowarn", "--release", "8", "-d", class_path, source])
    check("the program compiles", done.returncode == 0, done)
    versions = [w for w in sys.argv[1:] if w.isdigit()]
    wanted = [w for w in sys.argv[1:] if not w.isdigit()]
    for jdk in found:
        if versions and str(jdk.version) not in versions:
            continue
        classes = Classes(jdk, class_path)
        for mode, options in MODES:
            if not wanted or mode in wanted:
                run_one(jdk, mode, options, class_path, classes)
    support.done()


if __name__ == "__main__":
    main()
