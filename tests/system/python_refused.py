#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An interpreter that cannot be read safely is not read: one line says why, the program runs on, its native frames are there.
python_refused.py UNKNOWN DEBUG OFFSETS TORN: programs that look like one."""
import os
import sys

import support
from pprof_file import Profile
from support import check

CASES = (("an unknown version", ("3.16", "3.8 to 3.15")), ("a debug build", ("3.12", "debug build")),
         ("offsets that make no sense", ("3.13", "_Py_DebugOffsets")), ("frames that lead nowhere", ("3.12", "frames")))


def main():
    for (what, words), program in zip(CASES, sys.argv[1:]):
        path = os.path.join(support.scratch(), "fake.pb.gz")
        result = support.run([program, "1.5"], env=support.environment(output=path, rate=100))
        check(f"{what}: the program runs as it would", (result.returncode, result.stdout) == (0, b"done\n"), result)
        lines = result.stderr.decode().splitlines()
        check(f"{what}: one line says it, and that native frames are left", len(lines) == 1 and lines[0].startswith("deepprof: ")
              and all(word in lines[0] for word in words + ("native frames alone",)), lines)
        check(f"{what}: there is a profile", support.wait_for(path))
        profile = Profile(path)
        native = sum(s.values[0] for s in profile.samples if "_PyEval_EvalFrameDefault" in s.stack)
        total = sum(s.values[0] for s in profile.samples)
        check(f"{what}: of native frames", native >= 0.9 * total and total >= 100, (native, total))
        managed = [f.name for s in profile.samples for f in s.frames if f.object == "[python]"]
        check(f"{what}: and of no others", not managed, managed[:3])
    support.done()


if __name__ == "__main__":
    main()
