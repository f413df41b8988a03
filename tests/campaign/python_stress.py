#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""python_stress.py [SECONDS [HZ]]: ticks from outside, thousands a second, on every CPython found. No crash, no hang, the same
output; and no stack that Python did not see."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests", "system"))
import python_frames
import pythons
import support
from pprof_file import Profile
from support import check

SENDER = os.path.join(support.BUILD, "tests", "campaign", "tick_sender")


def stress(python, who, seconds, hz):
    folder = support.scratch()
    truth, path = os.path.join(folder, "truth.json"), os.path.join(folder, "stress.pb.gz")
    plain = support.run([python, python_frames.WORK, truth, "0"])
    host = subprocess.Popen([python, python_frames.WORK, truth, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=support.environment(output=path, rate=100))
    sender = subprocess.Popen([SENDER, str(host.pid), str(hz), str(seconds * 20)], stdout=subprocess.PIPE)
    try:
        out, error = host.communicate(timeout=seconds * 20 + 60)
    except subprocess.TimeoutExpired:
        host.kill()
        check(f"{who}: no hang", False)
        return
    sent = int(sender.communicate()[0])
    check(f"{who}: {sent} ticks, the same result", host.returncode == 0 and out == plain.stdout and not error,
          (host.returncode, out, error))
    if not support.wait_for(path, 30):
        check(f"{who}: its profile is there", False)
        return
    profile = Profile(path)
    ticks = sum(s.values[0] for s in profile.samples)
    torn = profile.losses.get("managed_torn", (0, 0))[0]
    print(f"{who}: {ticks} samples, stitch {python_frames.stitch_of(profile)}, losses {profile.losses}", flush=True)
    check(f"{who}: hardly a chain is torn", torn <= 0.001 * ticks, (torn, ticks))
    with open(truth) as file:
        python_frames.check_frames(profile, json.load(file), who)
    python_frames.check_merge(profile, who)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    hz = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
    wanted = sys.argv[3:]
    for minor, python in pythons.all_of_them():
        if not wanted or str(minor) in wanted:
            stress(python, f"3.{minor} {python}", seconds, hz)
    support.done()


main()
