# SPDX-License-Identifier: Apache-2.0
"""libdeepprof.so by ctypes: found in the process, or opened by start()."""
from __future__ import annotations

import os
import sys
from typing import Any, List, Optional

try:
    import ctypes
except ImportError:  # a Python that was built without libffi
    ctypes = None  # type: ignore[assignment]

NAME = "libdeepprof.so"


class Api:
    """include/deepprof.h. Calls that only touch the thread's own words keep the GIL: to give it away and to take it
    back costs more than they do."""

    def __init__(self, name: Optional[str]) -> None:
        waits = ctypes.CDLL(name)
        quick = ctypes.PyDLL(name)

        def function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, "deepprof_" + name)
            found.restype, found.argtypes = result, arguments
            return found

        number, text = ctypes.c_uint32, ctypes.c_char_p
        self.get_labels = function(quick, "get_labels", number)
        # Without declared arguments and result ctypes is three times as fast; a set's number is a small int.
        self.set_labels = quick.deepprof_set_labels
        self.set_labels.restype = None
        self.make_labels = function(quick, "make_labels", number, number, text, text)
        self.is_running = function(quick, "is_running", ctypes.c_int)
        self.version = function(quick, "version", text)
        self.start = function(waits, "start", ctypes.c_int, text)
        self.stop = function(waits, "stop", ctypes.c_int)
        self.flush = function(waits, "flush", ctypes.c_int, ctypes.c_uint)


def _mapped() -> Optional[str]:
    """The path of a library that somebody opened for himself alone (RTLD_LOCAL)."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                path = line.rstrip("\n").split(None, 5)[-1]
                if os.path.basename(path) == NAME:
                    return path
    except OSError:
        pass
    return None


def in_process() -> Optional[Api]:
    """Preloaded or linked: among the global names."""
    if ctypes is None:
        return None
    try:
        return Api(None)
    except (AttributeError, OSError):
        pass
    path = _mapped()
    return _open(path, []) if path else None


def _open(path: str, failures: List[str]) -> Optional[Api]:
    try:
        return Api(path)
    except (AttributeError, OSError) as error:  # an OSError names the path
        failures.append(f"{path}: {error}" if path not in str(error) else str(error))
        return None


def _places() -> List[str]:
    """Where an installation would have it: beside the command, where the loader looks, in this Python's prefix, where
    pkg-config says."""
    import shutil  # here, as few programs come here: importing us is to be quick

    places = []
    command = shutil.which("deepprof")
    if command:
        above = os.path.dirname(os.path.dirname(os.path.realpath(command)))
        arch = getattr(getattr(sys, "implementation", None), "_multiarch", "")
        places += [os.path.join(above, *lib, NAME) for lib in (("lib", arch), ("lib64",), ("lib",))]
        places.append(os.path.join(os.path.dirname(os.path.realpath(command)), NAME))  # a build tree
    places.append(os.path.join(sys.prefix, "lib", NAME))
    return [place for place in places if os.path.exists(place)]


def _by_pkg_config() -> Optional[str]:
    import shutil
    import subprocess

    tool = shutil.which("pkg-config")
    if not tool:
        return None
    # The child is not to be profiled: it would start an agent of its own.
    environment = {**os.environ, "DEEPPROF_ENABLED": "false"}
    try:
        asked = subprocess.run([tool, "--variable=preload", "deepprof"], stdout=subprocess.PIPE, env=environment,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(asked.stdout.strip()) or None


def load(failures: List[str]) -> Optional[Api]:
    """The library of this process, opened if need be. failures: why not, for a person."""
    if ctypes is None:
        failures.append("this Python has no ctypes")
        return None
    found = in_process()
    named = os.environ.get("DEEPPROF_LIBRARY")
    if found is None and named:
        return _open(named, failures)
    for place in _places() if found is None else []:
        found = found or _open(place, failures)
    found = found or _open(NAME, failures)
    if found is None:
        told = _by_pkg_config()
        found = _open(told, failures) if told else None
    return found
