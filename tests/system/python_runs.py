# SPDX-License-Identifier: Apache-2.0
"""Python programs that write down what they know of themselves, and their profiles."""
import json
import os

import support
from pprof_file import Profile


def profile_of(python, who, work, seconds, *more):
    """Runs the program: it writes what it knows of itself to its first argument. (profile, what it wrote); None: said."""
    folder = support.scratch()
    truth, path = os.path.join(folder, "truth.json"), os.path.join(folder, "work.pb.gz")
    done = support.run([python, work, truth, str(seconds), *more], env=support.environment(output=path, rate=500))
    support.check(f"{who}: it ends well and says nothing", done.returncode == 0 and not done.stderr, done)
    if not support.wait_for(path):
        support.check(f"{who}: its profile is there", False)
        return None
    with open(truth) as file:
        return Profile(path), json.load(file)
