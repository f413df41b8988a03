#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host that scribbles over its region harms nobody else: the agent that serves both lives, and the honest host's
profile is true."""
import os
import re
import subprocess
import sys
import time

from support import BUILD, COMMAND, MILL, check, collapsed, done, environment, run, scratch, share, wait_for

HOSTILE = os.path.join(BUILD, "tests", "system", "hostile_host")
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 1


def agents():
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(os.path.join(BUILD, "deepprof-agent")):
                with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                    if stat.read().rsplit(")", 1)[1].split()[0] != "Z":
                        found.add(pid)
        except OSError:
            pass
    return found


for seed in range(ROUNDS):
    where = scratch()
    honest = subprocess.Popen([MILL, "250"], env=environment(output=where + "/honest.pb.gz", rate=200),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.time() + 10
    while not agents() and time.time() < end:
        time.sleep(0.02)
    before = agents()
    hostiles = [subprocess.Popen([HOSTILE, "4", str(seed * 10 + i)],
                                 env=environment(output=where + "/hostile%p.pb.gz", rate=1000, window=1),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(3)]
    for hostile in hostiles:
        out, errors = hostile.communicate(timeout=120)
        check("the hostile host ends as it would", hostile.returncode == 0, (hostile.returncode, errors))
        words = int(out.split()[0])
        check("and has scribbled", words > 1000, words)
    out, errors = honest.communicate(timeout=120)
    after = agents()
    check("the honest host's output is its own", honest.returncode == 0 and not errors, errors)
    check("the agent is still the same", before and before <= after, (before, after))
    check("the honest profile is there", wait_for(where + "/honest.pb.gz", 30))
    stacks = collapsed(where + "/honest.pb.gz")
    for name in ["mill_pack", "mill::count_words", "mill_grep", "regexec"]:
        check(f"{name} is in it", share(stacks, "^" + re.escape(name)) > 0)
    whole = sum(n for s, n in stacks.items() if s[0] in ("_start", "clone3", "clone", "__clone3"))
    check("its stacks are whole", whole >= 0.99 * sum(stacks.values()))
    report = run([COMMAND, "report", where + "/honest.pb.gz"]).stdout.decode()
    check("nothing of it was lost", "bad_record" not in report and "agent_lost" not in report, report)
done()
