#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""python_names_stress.py [SECONDS [HZ [threads|tasks|MINOR...]]]: ticks from outside, thousands a second, on every CPython found,
while its threads or tasks come, are renamed and go. No crash, no hang, no wrong name."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests", "system"))
import python_names
import pythons
import support
from pprof_file import Profile
from support import check

FOLDER = os.path.join(support.SOURCE, "tests", "campaign")
SENDER = os.path.join(support.BUILD, "tests", "campaign", "tick_sender")


def stress(python, who, work, label, seconds, hz):
    folder = support.scratch()
    truth, path = os.path.join(folder, "truth.json"), os.path.join(folder, "stress.pb.gz")
    host = subprocess.Popen([python, os.path.join(FOLDER, work), truth, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=support.environment(output=path, rate=100))
    sender = subprocess.Popen([SENDER, str(host.pid), str(hz), str(seconds * 20), "16"], stdout=subprocess.PIPE)
    try:
        out, error = host.communicate(timeout=seconds * 20 + 60)
    except subprocess.TimeoutExpired:
        host.kill()
        check(f"{who}: no hang", False)
        return
    sent = int(sender.communicate()[0])
    check(f"{who}: {sent} ticks, no crash, nothing said", host.returncode == 0 and not error, (host.returncode, error))
    if not support.wait_for(path, 30):
        check(f"{who}: its profile is there", False)
        return
    profile = Profile(path)
    print(f"{who}: {out.decode().strip()} came and went, {sum(s.values[0] for s in profile.samples)} samples, losses {profile.losses}")
    with open(truth) as file:
        python_names.check_names(profile, json.load(file), label, {None, "python3", os.path.basename(python)[:15]}, who)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    hz = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
    minors = [w for w in sys.argv[3:] if w.isdigit()]
    kinds = [w for w in sys.argv[3:] if not w.isdigit()] or ["threads", "tasks"]
    for minor, python in pythons.all_of_them():
        if minors and str(minor) not in minors:
            continue
        for kind, work, label in (("threads", "python_names_work.py", "thread"), ("tasks", "python_tasks_work.py", "python.task")):
            if kind in kinds:
                stress(python, f"3.{minor} {python} {kind}", work, label, seconds, hz)
    support.done()


main()
