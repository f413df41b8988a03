#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real program of several threads, C and C++, and a plug-in: its profile is whole, named and true."""
import collections
import glob
import os
import re

from support import BUILD, COMMAND, MILL, check, collapsed, done, environment, reap_cpu, run, scratch, share, wait_for

plain = run([MILL, "60"])

# By the command.
where = scratch()
result = run([COMMAND, "run", "--", MILL, "60"], cwd=where)
check("the program's output is its own", result.stdout == plain.stdout, result.stdout)
check("its exit status too", result.returncode == plain.returncode, result.returncode)
files = sorted(glob.glob(where + "/*"), reverse=True)
check("a flame graph and a pprof file are left", [os.path.splitext(f)[1] for f in files] == [".gz", ".html"], files)
stacks = collapsed(files[0])
own = collections.Counter()
for stack, count in stacks.items():
    own[stack[-1]] += count
first_row = re.search(rb"^ +self +total +function\n +[\d.]+% +[\d.]+%  (.*)$", result.stderr, re.M)
check("the summary names the hottest function first", first_row and own[first_row[1].decode()] == max(own.values()), result.stderr)
hot = own["move_to_front"] + own["mill_pack"]
check("the mill's own hot loop is at the top", hot >= 0.2 * sum(own.values()) and b"move_to_front\n" in result.stderr, result.stderr)
for name in ["mill_pack", "mill::count_words", "mill::rank_words", "mill_grep", "regexec", "std::__introsort_loop"]:
    check(f"{name} is in the profile", share(stacks, re.escape(name)) > 0)
# Without a symbol table (no libc6-dbg) clone3, which is local to libc, has no name.
FIRST = re.compile(r"_start$|(__)?clone3?$|libc\.so\.6\+0x")
roots = sum(n for s, n in stacks.items() if FIRST.match(s[0]))
check("99 % of the stacks reach the thread's first frame", roots >= 0.99 * sum(stacks.values()),
      {s: n for s, n in stacks.items() if not FIRST.match(s[0])})
under_main = [s for s in stacks if "mill_grep" in s]
check("the plug-in is called by main", all("main" in s[:s.index("mill_grep")] for s in under_main) and under_main)
page = open(files[1], encoding="utf-8").read()
check("the page holds the functions and needs no network", "mill_pack" in page and "http://" not in page and "https://" not in page)

# By hand, with nothing configured.
where = scratch()
result = run([MILL, "60"], env=environment(), cwd=where)
files = sorted(glob.glob(where + "/deepprof-mill-*"))
check("LD_PRELOAD alone leaves both files", len(files) == 2, files)
check("and says so in one line", result.stderr.count(b"\n") == 1 and b"wrote deepprof-mill-" in result.stderr, result.stderr)

# Sum of weights and losses against getrusage; every stack walked twice.
where = scratch()
before = reap_cpu()
result = run([MILL, "150"], env=environment(output=where + "/x.pb.gz", verify=1))
used = reap_cpu() - before
check("with an output stderr stays silent", result.stderr == b"", result.stderr)
check("the output appears", wait_for(where + "/x.pb.gz"))
report = run([COMMAND, "report", where + "/x.pb.gz"]).stdout.decode()
total = float(re.search(r"^([\d.]+) s of cpu", report).group(1))
lost = sum(float(n) * {"s": 1, "ms": 1e-3, "us": 1e-6}[u]
           for n, u in re.findall(r"^lost: \S+ \d+, ([\d.]+) (s|ms|us)", report, re.M))
check("weights and losses are the CPU time within 2 %", abs(total + lost - used) <= 0.02 * used, (total, lost, used))
comments = run([COMMAND, "report", where + "/x.pb.gz", "-o", where + "/y.html"])
check("a page is made from a file", comments.returncode == 0 and os.path.exists(where + "/y.html"), comments.stderr)
import gzip  # noqa: E402
text = gzip.open(where + "/x.pb.gz").read()
verified = re.search(rb"verify total=(\d+) mismatched=(\d+)", text)
check("more than 100 stacks were verified", verified and int(verified[1]) > 100, verified)
check("all agree with libunwind's", verified and int(verified[2]) == 0, verified)
done()
