#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How settings reach a program and its children: what is said, by whom and how often; children=false; what a run
takes from its environment and its configuration file."""
import os
import sys
import time

import support
from pprof_file import Profile
from support import check

LATE_END = sys.argv[1]

BURN = "perl -e 'for (1..4000000) { $x += $_ }'"
FORK = "perl -e 'if (!fork) { for (1..4000000) { $x += $_ } exit } wait; for (1..4000000) { $x += $_ }'"


def preloaded(script, more=None, **settings):
    """A shell script under the library: its folder, its lines on stderr."""
    folder = support.scratch()
    done = support.run(["sh", "-c", script], env={**support.environment(**settings), **(more or {})}, cwd=folder)
    check(f"the exit status is the program's ({script[:30]}...)", done.returncode == 0, done.returncode)
    return folder, done.stderr.decode().splitlines()


def run_command(script, options=(), **settings):
    folder = support.scratch()
    environment = support.environment(**settings)
    del environment["LD_PRELOAD"]
    done = support.run([support.COMMAND, "run", *options, "--", "sh", "-c", script], env=environment, cwd=folder)
    return folder, done.returncode, done.stderr.decode().splitlines()


def profiles(folder):
    return [name for name in os.listdir(folder) if name.endswith(".pb.gz")]


folder, _ = preloaded("exec " + BURN, children="false")
check("children=false profiles the first process, also through exec", len(profiles(folder)) == 1, os.listdir(folder))
folder, _ = preloaded(f"{BURN}; ({BURN})", children="false")
check("children=false leaves alone what it executes", profiles(folder) == [], os.listdir(folder))
folder, _ = preloaded("exec " + FORK, children="false")
check("children=false leaves alone what it forks", len(profiles(folder)) == 1, os.listdir(folder))
folder, _ = preloaded("exec " + FORK)
check("by default both are profiled", len(profiles(folder)) == 2, os.listdir(folder))

# A program's last milliseconds come after the profile was written; here they are many.
late = {"LD_PRELOAD": f"{support.LIBRARY}:{LATE_END}"}
folder = support.scratch()
done = support.run(["perl", "-e", "for (1..4000000) { $x += $_ }"], env={**support.environment(), **late}, cwd=folder)
said = done.stderr.decode().splitlines()
check("a program that works on after its profile was written says so once", len(said) == 1 and ": wrote " in said[0], said)
time.sleep(1)
check("and has written one profile", len(profiles(folder)) == 1 and len(os.listdir(folder)) == 2, os.listdir(folder))
for name in profiles(folder):
    stacks = support.collapsed(os.path.join(folder, name))
    check("in which the program's work is", support.share(stacks, "^main$") > 0.5, stacks)
folder = support.scratch()
support.run(["perl", "-e", "for (1..4000000) { $x += $_ }"], env={**support.environment(output="x.pb.gz"), **late}, cwd=folder)
support.wait_for(os.path.join(folder, "x.pb.gz"))
stacks = support.collapsed(os.path.join(folder, "x.pb.gz"))
check("where nobody waits for the profile, the work at the end is in it, too", support.share(stacks, "^late_work$") > 0.2, stacks)

for key, value, said in (
        ("rates", "3", "unknown setting DEEPPROF_RATES"),
        ("profiles", "cpu,alloc", "profiles: this version has cpu alone; the others are left out")):
    _, lines = preloaded("perl -e 1; (perl -e 1; perl -e 1); sh -c 'perl -e 1'", output="x.html", **{key: value})
    check(f"{key}={value} is said once for a whole tree of processes", len(lines) == 1 and said in lines[0], lines)

for settings, said in (
        ({"profiles": "wall"}, "profiles: this version has cpu alone; nothing is profiled"),
        ({"server": "ftp://user:secret@127.0.0.1:9/token"}, "DEEPPROF_SERVER: a URL like")):
    folder, lines = preloaded(BURN, **settings)
    check(f"{settings} is said and not pretended", len(lines) == 1 and said in lines[0] and not os.listdir(folder),
          (lines, os.listdir(folder)))
    check("and no secret is shown", "secret" not in lines[0] and "token" not in lines[0], lines)

config = os.path.join(support.scratch(), "config")
with open(config, "w") as file:
    file.write("output = from-file.collapsed\nrate = 500\n")
folder, status, _ = run_command(BURN + "; exit 7", config=config)
check("a run returns its program's status", status == 7, status)
check("a run takes what its file says", os.listdir(folder) == ["from-file.collapsed"], os.listdir(folder))
folder, _, _ = run_command(BURN, config=config, output="from-environment.collapsed")
check("the environment is nearer than the file", os.listdir(folder) == ["from-environment.collapsed"],
      os.listdir(folder))
folder, _, _ = run_command(BURN, ("--output", "option.pb.gz"), config=config, output="from-environment.collapsed")
check("an option is nearest", os.listdir(folder) == ["option.pb.gz"], os.listdir(folder))
check("each key by itself: the rate is the file's", Profile(os.path.join(folder, "option.pb.gz")).period == 2000000)

_, status, lines = run_command("exit 5", enabled="false")
check("a run that is switched off runs the program and says so", (status, lines) == (5, ["deepprof: not profiled"]),
      (status, lines))

folder, _, _ = run_command(f"{BURN}; {sys.executable} -c 'for i in range(9000000): pass'",
                           ("--output", "x.pb.gz", "--rate", "500", "--labels", "team=a"))
merged = Profile(os.path.join(folder, "x.pb.gz"))
processes = {sample.labels.get("process") for sample in merged.samples}
check("a run's samples say which process they are of", "perl" in processes and any("python" in str(p) for p in processes),
      processes)
check("and which pid", len({sample.labels["pid"] for sample in merged.samples}) >= 2)
check("the run itself is what the profile is about", merged.identity == {"service_name": "sh", "team": "a"},
      merged.identity)
support.done()
