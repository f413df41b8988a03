#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hotspot_stress.py [SECONDS [HZ [VERSION|MODE|short...]]]: ticks from outside, thousands a second and thread, on every JDK found,
while classes come, are unloaded and make compiled code wrong. No crash, no hang, the same result."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests", "system"))
import jdks
import support
from pprof_file import Profile
from support import check

SENDER = os.path.join(support.BUILD, "tests", "campaign", "tick_sender")
SOURCE = os.path.join(support.SOURCE, "tests", "campaign", "HotspotStress.java")
# Little memory, so that collectors run; little room for code, so that it is thrown away and its places come again.
SMALL = ["-Xmx128m", "-Xss512k"]
TIGHT = SMALL + ["-XX:ReservedCodeCacheSize=5m", "-XX:InitialCodeCacheSize=3m"]
MODES = {
    "tight": TIGHT,
    "plain": SMALL,
    "interpreter": SMALL + ["-Xint"],
    "C1": TIGHT + ["-XX:TieredStopAtLevel=1"],
    "C2": TIGHT + ["-XX:-TieredCompilation"],
    "Serial": TIGHT + ["-XX:+UseSerialGC"],
    "Parallel": TIGHT + ["-XX:+UseParallelGC"],
    "ZGC": SMALL + ["-XX:+UnlockExperimentalVMOptions", "-XX:+UseZGC"],
    "Shenandoah": SMALL + ["-XX:+UnlockExperimentalVMOptions", "-XX:+UseShenandoahGC"],
    "headers": SMALL + ["-XX:+UnlockExperimentalVMOptions", "-XX:+UseCompactObjectHeaders"],
    "eager": SMALL + ["-Xcomp"],
}
SHORT = ["tight", "interpreter"]


def stress(jdk, mode, class_path, seconds, hz):
    who = f"{jdk.version} {jdk.text} {mode}"
    path = os.path.join(support.scratch(), "stress.pb.gz")
    command = [jdk.java] + MODES[mode] + ["-cp", class_path, "HotspotStress"]
    plain = support.run(command + ["0"])
    if plain.returncode and any(text in plain.stdout + plain.stderr for text in (b"Unrecognized VM option", b"not supported")):
        print(f"skip {who}: this VM has no such option")
        return 0
    check(f"{who}: runs by itself", plain.returncode == 0 and plain.stdout.endswith(b"done\n"), plain)
    host = subprocess.Popen(command + [str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=support.scratch(),
                            env=support.environment(output=path, rate=100, agent="thread"))
    sender = subprocess.Popen([SENDER, str(host.pid), str(hz), str(seconds * 20 + 60), "16"], stdout=subprocess.PIPE)
    try:
        out, error = host.communicate(timeout=seconds * 20 + 120)
    except subprocess.TimeoutExpired:
        host.kill()
        sender.communicate()
        check(f"{who}: no hang", False)
        return 0
    sent = int(sender.communicate()[0])
    # A VM with little room for code may say that it has no more.
    check(f"{who}: {sent} ticks, the same result", host.returncode == 0 and out == plain.stdout and b"deepprof" not in error,
          (host.returncode, out[-2000:], plain.stdout, error[-2000:]))
    if not support.wait_for(path, 30):
        check(f"{who}: its profile is there", False)
        return 0
    profile = Profile(path)
    print(f"{who}: {sum(s.values[0] for s in profile.samples)} samples, losses {profile.losses}", flush=True)
    check(f"{who}: Java frames are told", any(f.name == "HotspotStress.memory" for s in profile.samples for f in s.frames))
    return sent


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    hz = int(sys.argv[2]) if len(sys.argv) > 2 else 9000
    wanted = sys.argv[3:]
    versions = [w for w in wanted if w.isdigit()]
    modes = SHORT if "short" in wanted else [m for m in wanted if m in MODES] or list(MODES)
    compiler, found = jdks.javac(), jdks.all_of_them()
    if not compiler or not found:
        print("skipped: no JDK here")
        sys.exit(77)
    class_path = support.scratch()
    done = support.run([compiler, "-nowarn", "--release", "8", "-d", class_path, SOURCE])
    check("the program compiles", done.returncode == 0, done)
    sent = 0
    for jdk in found:
        if versions and str(jdk.version) not in versions:
            continue
        for mode in modes:
            sent += stress(jdk, mode, class_path, seconds, hz)
    least = 20000 if "short" in wanted else 100000
    check(f"at least {least} ticks", sent >= least, sent)
    support.done()


main()
