# SPDX-License-Identifier: Apache-2.0
"""deepprof from Python: start, stop, flush, labels.

Nothing here needs the profiler. Where libdeepprof.so is not in the process every call does nothing, quickly; under
``LD_PRELOAD=libdeepprof.so`` or after ``start()`` each comes alive. No call raises because of the profiler.
"""
import errno
import os
import sys
from typing import Any, List

from . import _labels, _library
from ._labels import labels, tag_wrapper

__all__ = ["start", "stop", "flush", "is_running", "version", "labels", "tag_wrapper"]
__version__ = "0.1.0"


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"deepprof: {text}\n")
    except Exception:  # closed, None, or not what it was: we are a guest
        pass


def _text_of(value: Any) -> str:
    """A setting as deepprof(7) writes it: True, ["cpu", "alloc"], {"env": "prod"} or its text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ";".join(f"{key}={value[key]}" for key in value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(str(one) for one in value)
    return str(value)


_was_missing = False


def start(**settings: Any) -> bool:
    """Profiles from now on. The settings are those of deepprof(7) and go before environment and file:
    ``start(output="app.pb.gz", rate=200, labels={"env": "prod"})``.

    Where the process has no libdeepprof.so it is opened: the one that DEEPPROF_LIBRARY names, else an installed one.
    True: it profiles. False: it does not, and one line on stderr has said why; the program runs on as it would.
    Settings are not read while it runs already: that is True, and a line too."""
    global _was_missing
    failures: List[str] = []
    api = _labels.api or _library.load(failures)
    _labels.api = api
    if api is None:
        if not _was_missing:
            _was_missing = True
            _say(f"{_library.NAME} was not found, nothing is profiled ({'; '.join(failures)}); "
                 "DEEPPROF_LIBRARY=/path/libdeepprof.so names it")
        return False
    options = ",".join(f"{key}={_text_of(value)}" for key, value in settings.items())
    result = api.start(options.encode("utf-8", "surrogateescape") or None)
    if result == -errno.EALREADY:
        _say("it profiles already; these settings were not read: stop() goes before")
        return True
    if result not in (0, -errno.EINVAL):  # for a wrong setting the library has said which
        _say(f"nothing is profiled: {os.strerror(-result)}")
    return bool(result == 0)


def stop() -> bool:
    """Nothing is sampled any more. What was sampled is delivered as it would have been; a later start() goes on in
    the same profile. True where there was a profiler to ask."""
    return _labels.api is not None and _labels.api.stop() == 0


def flush(timeout: float = 10.0) -> bool:
    """All samples up to now are on their way: files are written, servers were asked. Waits for it, at most about
    timeout seconds; other threads run on, an event loop of this thread does not. False: not in time, or no agent."""
    return _labels.api is not None and _labels.api.flush(max(0, min(int(timeout * 1000), 2**31))) == 0


def is_running() -> bool:
    """Does it profile?"""
    return _labels.api is not None and _labels.api.is_running() == 1


def version() -> str:
    """The library's version; "" where there is none. The package's own is ``__version__``."""
    return _labels.api.version().decode() if _labels.api is not None else ""
