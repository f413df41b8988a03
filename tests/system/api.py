#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""deepprof.h: the same program, its library absent, preloaded or linked, in C and in C++, as PIE and at a fixed
address. Witnesses are the program's own CPU clock, the kernel's list of its timers, and the written profile."""
import glob
import os
import sys
import time

from support import BUILD, LIBRARY, SOURCE, check, done, environment, run, scratch, collapsed, share, wait_for

INCLUDE = os.path.join(SOURCE, "include")
HOST = os.path.join(SOURCE, "tests", "system", "api_host")
LINK = [f"-L{BUILD}", f"-Wl,-rpath,{BUILD}"]
C = ["gcc", "-std=c99", "-D_GNU_SOURCE"]
CXX = ["g++", "-std=c++11"]
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-g", "-pthread", "-I", INCLUDE]
where = scratch()


def build(name, compiler, *more):
    out = os.path.join(where, name)
    source = HOST + (".c" if compiler is C else "_cxx.cpp")
    libraries = [m for m in more if m.startswith(("-l", "-L", "-Wl"))]
    flags = [m for m in more if m not in libraries]
    result = run([*compiler, *STRICT, *flags, "-o", out, source, *libraries])
    check(f"{name} compiles without a warning", result.returncode == 0, result.stderr.decode())
    return out


def start(program, *arguments, preload=True, **settings):
    env = environment(**settings)
    if not preload:
        del env["LD_PRELOAD"]
    directory = scratch()
    result = run([program, *arguments], env=env, cwd=directory)
    return directory, result.stdout.decode().splitlines(), result


def profile(path):
    return collapsed(path) if wait_for(path) else {}


def same(claim, seen, expected):
    check(claim, seen == expected, f"{seen}, not {expected}")


def started_and_stopped(name, directory, lines, result, first, starts_by_itself):
    same(f"{name}: what the program sees", lines, [
        "version 0.1.0", first, "start 0", "errno 77", "again 0", "options 1", "running 1 timers 1", "stop 0",
        "running 0 timers 0", "start 0", "flush 0"])
    stacks = profile(os.path.join(directory, "p.pb.gz"))
    check(f"{name}: sampled while started", 0.2 < share(stacks, "^while_started$"), stacks)
    check(f"{name}: and after the second start", 0.2 < share(stacks, "^started_again$"), stacks)
    check(f"{name}: not while stopped", share(stacks, "^while_stopped$") == 0, stacks)
    check(f"{name}: before the first start {'too' if starts_by_itself else 'not'}",
          (share(stacks, "^before_start$") > 0.1) == starts_by_itself, stacks)
    check(f"{name}: ends as it would", result.returncode == 0 and not result.stderr, result.stderr)


PLAIN = build("plain", C, "-fPIE", "-pie")
FIXED = build("fixed", C, "-fno-pic", "-no-pie")
PLAIN_CXX = build("plain_cxx", CXX, "-fPIE", "-pie")
FIXED_CXX = build("fixed_cxx", CXX, "-fno-pic", "-no-pie")
STATIC = build("static", C, "-static")
UNOPTIMISED = build("unoptimised", C, "-O0", "-Wl,-z,now")
LINKED = build("linked", C, *LINK, "-Wl,--no-as-needed", "-ldeepprof")
STRONG = build("strong", C, "-DDEEPPROF_LINKED", *LINK, "-Wl,--as-needed", "-ldeepprof")
LINKED_CXX = build("linked_cxx", CXX, *LINK, "-Wl,--no-as-needed", "-ldeepprof")
missing = run([*C, *STRICT, "-DDEEPPROF_LINKED", "-o", os.path.join(where, "missing"), HOST + ".c"])
check("DEEPPROF_LINKED without the library is a link error", b"deepprof_start" in missing.stderr)

# Absent.
for program in (PLAIN, FIXED, PLAIN_CXX, FIXED_CXX, STATIC, UNOPTIMISED):
    name = os.path.basename(program)
    directory, lines, result = start(program, "start_stop", preload=False, output="p.pb.gz")
    same(f"{name}, absent: nothing happens", lines, [
        "version ", "running 0 timers 0", "start -38", "errno 77", "again -38", "options 0", "running 0 timers 0",
        "stop -38", "running 0 timers 0", "start -38", "flush -38"])
    check(f"{name}, absent: and is heard of", result.returncode == 0 and not result.stderr and
          not os.listdir(directory), result.stderr)

# Preloaded: runs by itself, so that the first start has nothing to do.
for program in (PLAIN, FIXED, PLAIN_CXX, FIXED_CXX, UNOPTIMISED):
    started_and_stopped(os.path.basename(program) + ", preloaded",
                        *start(program, "start_stop", output="p.pb.gz"), "running 1 timers 1", True)

# Linked: waits for the program's word, or for the user's.
for program in (LINKED, STRONG, LINKED_CXX):
    name = os.path.basename(program)
    started_and_stopped(name, *start(program, "start_stop", preload=False, output="p.pb.gz"),
                        "running 0 timers 0", False)
started_and_stopped("linked, DEEPPROF_ENABLED=true",
                    *start(LINKED, "start_stop", preload=False, output="p.pb.gz", enabled="true"),
                    "running 1 timers 1", True)
started_and_stopped("linked and preloaded", *start(LINKED, "start_stop", output="p.pb.gz"), "running 1 timers 1", True)
directory, lines, result = start(LINKED, "start_stop", preload=False, output="p.pb.gz", enabled="false")
same("linked, DEEPPROF_ENABLED=false: nothing starts", [l for l in lines if l.startswith(("start", "running"))],
     ["running 0 timers 0", "start -1", "running 0 timers 0", "running 0 timers 0", "start -1"])
check("linked, DEEPPROF_ENABLED=false: no file", not os.listdir(directory), os.listdir(directory))

# Threads.
for program, preload in ((PLAIN, True), (LINKED, False)):
    name = os.path.basename(program)
    directory, lines, result = start(program, "threads", preload=preload, output="p.pb.gz")
    same(f"{name}: threads have timers exactly while started", lines,
         ["timers 2", "timers 0", "timers 0", "timers 3", "timers 1"])
    stacks = profile(os.path.join(directory, "p.pb.gz"))
    for thread in ("in_old_thread", "in_new_thread"):
        check(f"{name}: {thread} is sampled after the start", share(stacks, f"^{thread}$") > 0.25, stacks)
    directory, lines, result = start(program, "at_once", preload=preload, output="p.pb.gz")
    same(f"{name}: starts and stops from four threads", lines,
         ["stopped timers 0", "start 0", "timers 1", "flush 0"])
    stacks = profile(os.path.join(directory, "p.pb.gz"))
    check(f"{name}: after which it works", share(stacks, "^while_started$") > 0, stacks)
    check(f"{name}: and ends as it would", result.returncode == 0, result.stderr)

# A thread that blocks SIGPROF.
for program, preload in ((PLAIN, True), (LINKED, False)):
    name = os.path.basename(program)
    directory, lines, result = start(program, "blocked", preload=preload, output="p.pb.gz")
    same(f"{name}: a thread that blocks SIGPROF", lines, [
        "start 0", "timers 1", "pending 0", "pending 0", "timers 0", "flush 0"])
    stacks = profile(os.path.join(directory, "p.pb.gz"))
    check(f"{name}: is sampled when it does not", share(stacks, "^started_again$") > 0.5 and
          share(stacks, "^(while_stopped|before_start)$") < 0.05, stacks)

# A forked child is stopped where its parent was, and starts on its own.
for program, preload in ((PLAIN, True), (LINKED, False)):
    name = os.path.basename(program)
    directory, lines, result = start(program, "fork", preload=preload, output="%p.pb.gz")
    same(f"{name}: a forked child", lines, [
        "child 0 timers 0", "start 0", "flush 0", "status 3", "parent 0 timers 0"])
    written = lambda: glob.glob(os.path.join(directory, "*.pb.gz"))
    for _ in range(300):
        if len(written()) == 2:
            break
        time.sleep(0.05)
    files = sorted(glob.glob(os.path.join(directory, "*.pb.gz")), key=lambda f: int(os.path.basename(f).split(".")[0]))
    check(f"{name}: parent and child have a profile each", len(files) == 2, files)
    if len(files) == 2:
        parent, child = collapsed(files[0]), collapsed(files[1])
        check(f"{name}: the parent's is its own", share(parent, "^while_started$") > 0.5 and
              not share(parent, "^in_child$"), parent)
        check(f"{name}: the child's is its own", share(child, "^in_child$") > 0.5 and
              not share(child, "^while_st"), child)

# Settings of a start; other settings at the next one begin another profile.
directory, lines, result = start(LINKED, "settings", "output=one.pb.gz", "output=two.pb.gz,rate=200", preload=False)
same("settings by start", lines, ["bad 1", "running 0", "start 0", "stop 0", "start 0", "flush 0"])
check("a bad option is one line", result.stderr.decode().count("\n") == 1 and b"rate" in result.stderr, result.stderr)
one, two = (profile(os.path.join(directory, f"{n}.pb.gz")) for n in ("one", "two"))
check("the first start's file", share(one, "^while_started$") > 0.5 and not share(one, "^started_again$"), one)
check("the second start's file", share(two, "^started_again$") > 0.5 and not share(two, "^while_started$"), two)
check("the second start's rate", 60 < sum(two.values()) < 140, sum(two.values()))

# Opened by name, as a script does.
script = f"""
import ctypes, time
library = ctypes.CDLL({LIBRARY!r})
print(library.deepprof_is_running(), library.deepprof_start(None), library.deepprof_is_running())
end = time.thread_time() + 0.5
while time.thread_time() < end: sum(range(1000))
print(library.deepprof_flush(20000), library.deepprof_stop(), library.deepprof_is_running())
"""
directory, lines, result = start(sys.executable, "-c", script, preload=False, output="p.pb.gz")
same("opened by dlopen", lines, ["0 0 1", "0 0 0"])
check("opened by dlopen: sampled", sum(profile(os.path.join(directory, "p.pb.gz")).values()) > 10)
done()
