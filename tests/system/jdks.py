# SPDX-License-Identifier: Apache-2.0
"""The JDKs of this machine: those under /usr/lib/jvm, and what DEEPPROF_JDKS names (folders with bin/java, or commands
java-N with javap-N beside them, separated by colons; tests/support/debian_jdks.sh prints such)."""
import glob
import os
import re
import subprocess


class Jdk:
    def __init__(self, java, javap, version, text):
        self.java, self.javap, self.version, self.text = java, javap, version, text

    def __repr__(self):
        return f"{self.version} ({self.text})"


def _version(java):
    try:
        out = subprocess.run([java, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout.decode()
    except (OSError, subprocess.SubprocessError):
        return 0, ""
    found = re.search(r'version "(?:1\.)?(\d+)', out)
    build = re.search(r"\(build ([^)]*)\)", out)
    return (int(found.group(1)) if found and "64-Bit Server VM" in out and "OpenJ9" not in out else 0,
            build.group(1) if build else "?")


def all_of_them():
    """[Jdk], sorted by version, each program once."""
    places = [p for p in os.environ.get("DEEPPROF_JDKS", "").split(":") if p]
    places += sorted(glob.glob("/usr/lib/jvm/*"))
    found, seen = [], set()
    for place in places:
        java = os.path.join(place, "bin", "java") if os.path.isdir(place) else place
        real = os.path.realpath(java)
        if not os.access(real, os.X_OK) or real in seen:
            continue
        seen.add(real)
        javap = os.path.join(os.path.dirname(java), os.path.basename(java).replace("java", "javap", 1))
        version, text = _version(java)
        if version:
            found.append(Jdk(java, javap, version, text))
    return sorted(found, key=lambda jdk: (jdk.version, jdk.java))


def javac():
    """The oldest one that knows --release; None."""
    for jdk in all_of_them():
        if jdk.version < 9:
            continue
        path = os.path.join(os.path.dirname(jdk.java), os.path.basename(jdk.java).replace("java", "javac", 1))
        if os.access(path, os.X_OK):
            return path
    return None
