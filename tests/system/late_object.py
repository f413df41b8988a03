#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An object opened by the program's last call of the loader: nothing tells us of it, and its stacks are whole all the same."""
import sys

from pprof_file import Profile
from support import check, collapsed, done, environment, run, scratch, share, wait_for

where = scratch()
result = run(sys.argv[1:3], env=environment(output=where + "/x.pb.gz"))
check("the program ran", result.returncode == 0 and result.stdout == b"1\n", result.stderr)
check("the output appears", wait_for(where + "/x.pb.gz"))
stacks = collapsed(where + "/x.pb.gz")
late = {stack: count for stack, count in stacks.items() if any("late_spin" in f or f == "spin" for f in stack)}
check("most of the time was spent in the object", sum(late.values()) >= 0.5 * sum(stacks.values()), stacks)
whole = sum(count for stack, count in late.items() if "main" in stack and stack.index("main") < stack.index("late_spin"))
# Before its table comes a tick copies the stack; where an agent that gets no CPU leaves no room for that, it says so.
told = Profile(where + "/x.pb.gz").losses.get("slice_full", (0, 0))[0]
check("its stacks begin in main", late and whole >= 0.97 * sum(late.values()) - told, (told, late))
check("what was computed before is named too", share(stacks, "early_spin") > 0.05)
done()
