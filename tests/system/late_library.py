#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A library that was opened after the last thing a hook could see is found all the same."""
import os
import sys

import support
from pprof_file import Profile
from support import check

folder = support.scratch()
path = os.path.join(folder, "late.pb.gz")
done = support.run([sys.argv[1], "libz.so.1", "1.5"], env=support.environment(output=path, rate=200))
check("the program is well", done.returncode == 0, done)
check("its profile is there", support.wait_for(path))
profile = Profile(path)
total = profile.weight_ns()
named = sum(s.values[-1] for s in profile.samples if any("crc32" in name for name in s.stack))
whole = sum(s.values[-1] for s in profile.samples if "main" in s.stack and s.stack[-1] == "_start")
check("its code is named", named > 0.95 * total, named / total)
check("and its stacks are whole, those of the first ticks too", whole > 0.99 * total, whole / total)
# The first tick that meets it is what has it looked for; on a busy machine a second comes before it is found.
unknown = profile.losses.get("no_map", (0, 0))[0]
check("after its first ticks it is code of a known module", unknown <= 0.02 * total / profile.period, profile.losses)

# A path as the program gave it, relative to a directory that is not the agent's.
os.symlink(sys.argv[2], os.path.join(folder, "here.so"))
path = os.path.join(folder, "relative.pb.gz")
done = support.run([sys.argv[1], "./here.so", "1.0"], env=support.environment(output=path, rate=200), cwd=folder)
check("its profile is there", support.wait_for(path), done)
profile = Profile(path)
named = sum(s.values[-1] for s in profile.samples if any("crc32" in name for name in s.stack))
check("a library opened by a relative path is named", named > 0.95 * profile.weight_ns(), profile.losses)
support.done()
