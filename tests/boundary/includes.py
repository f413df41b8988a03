#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes point one way only: DESIGN's order of folders, checked file by file."""
import os
import re
import sys

ALLOWED = {
    "base": set(),
    "unwind": {"base"},
    "runtimes": {"base"},
    "symbols": {"base"},
    "export": {"base"},
    "capture": {"base", "unwind", "runtimes"},
    "preload": {"base", "unwind", "runtimes", "capture"},
    "agent": {"base", "unwind", "runtimes", "symbols", "export"},
    "cli": {"base", "symbols", "export"},
}
source = os.environ["DEEPPROF_SOURCE"]
bad, files = [], 0
for folder, allowed in ALLOWED.items():
    for where, _, names in os.walk(os.path.join(source, folder)):
        for name in names:
            if not name.endswith((".c", ".h")):
                continue
            files += 1
            path = os.path.join(where, name)
            for line in open(path, encoding="utf-8"):
                match = re.match(r'\s*#\s*include\s+"([a-z_]+)/', line)
                if match and match[1] in ALLOWED and match[1] != folder and match[1] not in allowed:
                    bad.append(f"{os.path.relpath(path, source)} includes {match[1]}/")
if not files:
    sys.exit("no files found")
if bad:
    sys.exit("\n".join(bad))
print(f"{files} files, every include points the right way")
