# SPDX-License-Identifier: Apache-2.0
"""java: what a tick costs in a busy JVM; for each JDK that is found."""
import os
import shutil
import subprocess
import sys
import tempfile

import measure as m

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "system"))
import jdks

SOURCE = os.path.join(m.SOURCE, "tests", "system", "HotspotWork.java")


def ticks(java, options, class_path, seconds):
    """ns of the ticks of one run, its first third left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tap")
        env = m.with_deepprof(250, first=m.TAP)
        env["BENCH_TAP"] = path
        m.cpu_of_child([java, *options, "-cp", class_path, "HotspotWork", str(seconds), os.path.join(folder, "truth")], env)
        log = m.Tap(path).log()
    return log[len(log) // 3:]


def main():
    m.heading("java: the handler in a busy program of 4 threads, ns a tick")
    compiler = jdks.javac()
    if not compiler:
        print("  no JDK here")
        return
    class_path = tempfile.mkdtemp(prefix="deepprof-bench-java-")
    try:
        subprocess.run([compiler, "-nowarn", "--release", "8", "-d", class_path, SOURCE], check=True)
        for jdk in jdks.all_of_them():
            ways = {"as it comes": [], "interpreter": ["-Xint"]}
            values = m.in_turns(ways, m.rounds(3, 1), lambda _, options: ticks(jdk.java, options, class_path, m.rounds(5, 1)))
            for way in ways:
                m.line(f"{jdk.version}, {way}, median", m.figure([m.median(run) for run in values[way]], 1, "{:.0f}"))
                m.line(f"{jdk.version}, {way}, mean", m.figure([sum(run) / len(run) for run in values[way]], 1, "{:.0f}"))
    finally:
        shutil.rmtree(class_path)
