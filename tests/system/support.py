# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the built programs, profiles read back, and a check that counts."""
import os
import re
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ["DEEPPROF_SOURCE"]
BUILD = os.environ["DEEPPROF_BUILD"]
LIBRARY = os.path.join(BUILD, "libdeepprof.so")
COMMAND = os.path.join(BUILD, "deepprof")
MILL = os.path.join(BUILD, "examples", "mill")
_failed = []


def check(claim, is_true, seen=""):
    print(("ok   " if is_true else "FAIL ") + claim + (f": {seen}" if seen != "" and not is_true else ""), flush=True)
    if not is_true:
        _failed.append(claim)


def done():
    print(f"{len(_failed)} failed")
    sys.exit(1 if _failed else 0)


def scratch():
    return tempfile.mkdtemp(prefix="deepprof-test-")


def environment(**settings):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_")}
    env["LD_PRELOAD"] = LIBRARY
    env.update({"DEEPPROF_" + k.upper(): str(v) for k, v in settings.items()})
    return env


def run(args, env=None, **more):
    return subprocess.run(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **more)


def wait_for(path, seconds=15):
    end = time.time() + seconds
    while time.time() < end:
        if os.path.exists(path):
            return True
        time.sleep(0.05)
    return False


def collapsed(path):
    """{stack (list of frames, root first): count}"""
    out = run([COMMAND, "report", path, "--collapsed"]).stdout.decode()
    stacks = {}
    for line in out.splitlines():
        stack, count = line.rsplit(" ", 1)
        stacks[tuple(stack.split(";"))] = int(count)
    return stacks


def share(stacks, pattern):
    total = sum(stacks.values())
    return sum(n for s, n in stacks.items() if any(re.search(pattern, f) for f in s)) / total if total else 0


def reap_cpu():
    t = os.times()
    return t.children_user + t.children_system
