# SPDX-License-Identifier: Apache-2.0
"""The interpreters of this machine: those in PATH, pyenv's, those that tests/support/debian_pythons.sh fetched or
source_pythons.sh built in the tests' cache, and what DEEPPROF_PYTHONS names (separated by colons)."""
import glob
import os
import shutil
import subprocess

MINORS = range(8, 16)


def _minor(python):
    try:
        out = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2], sys.implementation.name)"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30).stdout.decode().split()
        return int(out[1]) if out[0] == "3" and out[2] == "cpython" else 0
    except (OSError, IndexError, ValueError, subprocess.SubprocessError):
        return 0


def is_free_threaded(python):
    out = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED'))"],
                         stdout=subprocess.PIPE, timeout=30).stdout
    return out.strip() == b"1"


def all_of_them():
    """[(minor, path)], each program once."""
    paths = [p for p in os.environ.get("DEEPPROF_PYTHONS", "").split(":") if p]
    paths += ["/usr/bin/python3"] + [shutil.which(f"python3.{minor}") or "" for minor in MINORS]
    for root in (os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")):
        if root:
            paths += sorted(glob.glob(os.path.join(root, "versions", "3.*", "bin", "python3")))
    cache = os.environ.get("DEEPPROF_CACHE") or os.path.expanduser("~/.cache/deepprof")
    paths += sorted(path for path in glob.glob(os.path.join(cache, "pythons", "*", "usr", "bin", "python3.*"))
                    if path.rsplit(".", 1)[1].isdigit())
    paths += sorted(glob.glob(os.path.join(cache, "pythons", "*", "python")))
    found, seen = [], set()
    for path in paths:
        real = os.path.realpath(path)
        if path and "shims" not in path and os.access(real, os.X_OK) and real not in seen:
            seen.add(real)
            minor = _minor(real)
            if minor in MINORS:
                found.append((minor, real))
    return sorted(found)
