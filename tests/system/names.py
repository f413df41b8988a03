#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each sample has the name of the code that was there then. names.py PROGRAM ALPHA BETA"""
import sys

from support import check, collapsed, done, environment, run, scratch, wait_for

PROGRAM, ALPHA, BETA = sys.argv[1:]
where = scratch()
result = run([PROGRAM, ALPHA, BETA, where + "/plugin.so"], env=environment(output=where + "/x.pb.gz", rate=500))
check("the program runs", result.returncode == 0 and not result.stderr, (result.returncode, result.stderr))
same = int(result.stdout.split()[1])
check("the libraries take each other's place (else this test says nothing)", same >= 10, same)
check("a profile is left", wait_for(where + "/x.pb.gz", 30))
stacks = collapsed(where + "/x.pb.gz")


def under(caller, name):
    return sum(n for s, n in stacks.items() if caller in s and name in s)


turns = sum(n for s, n in stacks.items() if "take_turns" in s)
alpha, beta = under("take_turns", "alpha_work"), under("take_turns", "beta_work")
# 1800 ms: 1200 in one, 600 in the other. The kernel's tick gives some 450 samples of unequal weight; a part's
# standard deviation is below 0.03, of which four are allowed.
check("one library has its two thirds", abs(alpha / turns - 2 / 3) < 0.12, (alpha, beta, turns))
check("the other its third", abs(beta / turns - 1 / 3) < 0.12, (alpha, beta, turns))
check("none has no name", alpha + beta > 0.97 * turns, [s for s in stacks if "take_turns" in s][:20])
both = [s for s in stacks if "alpha_work" in s and "beta_work" in s]
check("none has both", not both, both)

vdso = [s[-1] for s in stacks if "ask_the_time" in s]
check("the vDSO is named", any("vdso_clock_gettime" in name or name == "clock_gettime" for name in vdso), vdso)
check("and nothing there is not", not [n for n in vdso if "+0x" in n and "vdso" in n], vdso)

total = sum(n for s, n in stacks.items() if "replaced" in s)
alpha, beta = under("replaced", "alpha_work"), under("replaced", "beta_work")
unnamed = sum(n for s, n in stacks.items() if "replaced" in s and not {"alpha_work", "beta_work"} & set(s))
check("a replaced file's code has its own name or none", alpha <= total * 0.62 and beta <= total * 0.62,
      (alpha, beta, unnamed, total))
check("what ran before the file was replaced is named", alpha >= total * 0.15, (alpha, beta, unnamed, total))
check("and so is what is in the new one", beta >= total * 0.15, (alpha, beta, unnamed, total))
print(f"     replaced: {alpha} alpha, {beta} beta, {unnamed} without a name, of {total}")
done()
