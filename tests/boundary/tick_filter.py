#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ordinary ticks make no system call, however many there are and whatever they interrupt. tick_filter.py [TICKS]"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests", "system"))
from support import BUILD, check, collapsed, done, environment, scratch, share, wait_for  # noqa: E402

HOST = os.path.join(BUILD, "tests", "boundary", "tick_filter")
AGENT = os.path.join(BUILD, "deepprof-agent")
TICKS = sys.argv[1] if len(sys.argv) > 1 else "2000000"
if "fsanitize" in open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8").read():
    print("skipped: a sanitizer makes system calls of its own")
    sys.exit(77)


def filtered(where, ticks, *more):
    env = environment(output=where + "/%p.pb.gz", rate=1000, enabled="false")
    del env["LD_PRELOAD"]  # the library is in the program
    return subprocess.run([HOST, AGENT, ticks, *more], env=env, capture_output=True, timeout=1500)


where = scratch()
result = filtered(where, TICKS)
check(f"{TICKS} ticks without a system call", result.returncode == 0, (result.stdout, result.stderr))
print(result.stdout.decode().strip())
if result.returncode == 0:
    profile = f"{where}/{result.stdout.split()[1].decode().strip(':')}.pb.gz"
    check("the samples arrive", wait_for(profile))
    stacks = collapsed(profile)
    whole = sum(n for s, n in stacks.items() if s[0] in ("_start", "clone3", "clone", "__clone3"))
    check("and are whole", whole >= 0.99 * sum(stacks.values()), {s[0] for s in stacks})
    for name in ["by_value", "recurse", "varying_frame", "work_on_small_stack", "work_in_handler"]:
        check(f"{name} was interrupted", share(stacks, f"^{name}$") > 0)

# What makes this test able to fail.
result = filtered(scratch(), "1000", "planted")
check("a handler's system call is the end", result.returncode == 0, (result.stdout, result.stderr))
done()
