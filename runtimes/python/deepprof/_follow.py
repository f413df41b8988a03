# SPDX-License-Identifier: Apache-2.0
"""Boundaries around what others run: the steps of event loops, functions given to a thread pool with their context,
greenlets. Each shows the labels of the context that runs, and afterwards those that were there before.

Nothing is touched before the first scope of the process is entered, and only in modules that the program has imported
itself. A step without labels then costs one more Python call."""
from __future__ import annotations

import contextvars
import functools
import importlib
import sys
from typing import Any, Callable, Set

from . import _labels
from ._labels import current, put, show, thread

_followed: Set[Any] = set()


def follow() -> None:
    """Called by every scope that is entered: whatever was imported meanwhile is followed from now on."""
    modules = sys.modules
    if "asyncio.base_events" in modules:  # which imports, and thus completes, asyncio.events
        events = modules["asyncio.events"]
        if "asyncio" not in _followed:
            _once("asyncio", _follow_asyncio, events)
        loop = events._get_running_loop()
        if loop is not None and type(loop) not in _followed:
            _once(type(loop), _follow_loop, type(loop))
    if "concurrent.futures" in modules and "executor" not in _followed:
        _once("executor", _follow_executor, importlib.import_module("concurrent.futures.thread"))
    if "greenlet" in modules:
        _follow_greenlets(modules["greenlet"])


def _once(what: Any, how: Callable[[Any], None], whom: Any) -> None:
    _followed.add(what)
    try:
        how(whom)
    except Exception:  # not what we know: then it is not followed, and nothing in it is STEP
        pass


def _step(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """In the context that is to be followed."""
    before = thread.now
    show(current.get())
    try:
        return function(*args, **kwargs)
    finally:
        put(before)


_labels.boundaries.add(id(_step.__code__))

# ---- asyncio ----


def _nothing() -> None:
    pass


def _follow_asyncio(events: Any) -> None:
    """asyncio's loops run everything by Handle._run, which runs the callback in the handle's context."""
    original = events.Handle._run

    def _run(handle: Any) -> Any:
        show(handle._context.get(current))
        try:
            return original(handle)
        finally:
            show(current.get())  # of the context in which the loop itself runs

    def after_the_fact() -> bool:
        # The step that runs now began before. The next one sets the thread right, whosoever it is; let it be soon.
        loop = events._get_running_loop()
        if loop is None or events.Handle._run is not made:
            return False
        loop.call_soon(_nothing)
        return True

    _labels.boundaries.add(id(_run.__code__))
    _labels.early[id(original.__code__)] = after_the_fact
    made = events.Handle._run = functools.wraps(original)(_run)
    # Tasks in Python, where there is no _asyncio.
    task = getattr(sys.modules.get("asyncio.tasks"), "_PyTask", None)
    for name in ("_Task__step", "_Task__step_run_and_handle_result"):
        method = getattr(task, name, None)
        if method is not None:
            _labels.carriers.add(id(method.__code__))


def is_task(frame: Any) -> bool:
    """Is this the outermost frame of the task that runs?"""
    tasks = sys.modules.get("asyncio.tasks")
    try:
        task = tasks.current_task() if tasks is not None else None
    except RuntimeError:  # no loop runs
        return False
    return task is not None and getattr(task.get_coro(), "cr_frame", None) is frame


def _follow_loop(loop: Any) -> None:
    """Other loops (uvloop) have handles of their own, in C. Their callbacks, tasks' steps among them, are wrapped when
    they are scheduled; what is scheduled already runs as before."""
    base = getattr(sys.modules.get("asyncio.base_events"), "BaseEventLoop", None)
    if base is not None and issubclass(loop, base):
        return
    for name in ("call_soon", "call_soon_threadsafe"):
        setattr(loop, name, _soon(getattr(loop, name)))
    for name in ("call_later", "call_at"):
        setattr(loop, name, _timed(getattr(loop, name)))


def _soon(original: Any) -> Any:
    def schedule(loop: Any, *args: Any, **kwargs: Any) -> Any:
        return original(loop, _step, *args, **kwargs) if args else original(loop, **kwargs)

    return functools.wraps(original)(schedule)


def _timed(original: Any) -> Any:
    def schedule(loop: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) > 1:
            args = (args[0], _step) + args[1:]
        return original(loop, *args, **kwargs)

    return functools.wraps(original)(schedule)


# ---- threads ----


def _follow_executor(module: Any) -> None:
    """run_in_executor(None, copy_context().run, function) and to_thread(function): the function runs in a context
    that has labels, on a thread that has none."""
    original = module.ThreadPoolExecutor.submit

    @functools.wraps(original)
    def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            function: Any = args[0]
            given, named = args[1:], kwargs
            if type(function) is functools.partial:
                function, given, named = function.func, function.args + given, {**function.keywords, **named}
            if type(getattr(function, "__self__", None)) is contextvars.Context and function == function.__self__.run:
                return original(self, function, _step, *given, **named)
        return original(self, *args, **kwargs)

    module.ThreadPoolExecutor.submit = submit


# ---- greenlets ----


class _Trace:
    """A thread's trace function of greenlets, called after each switch in the context of whom it leads to."""

    def __init__(self, has_contexts: bool, before: Any) -> None:
        self.has_contexts, self.before = has_contexts, before

    def __call__(self, event: str, greenlets: Any) -> None:
        if event in ("switch", "throw"):
            show(current.get() if self.has_contexts else None)
        if self.before is not None:
            self.before(event, greenlets)


def _follow_greenlets(greenlet: Any) -> None:
    """A greenlet has its own context. Who sets another trace function is asked to call ours, as gevent does."""
    try:
        before = greenlet.gettrace()
        if type(before) is not _Trace:
            greenlet.settrace(_Trace(getattr(greenlet, "GREENLET_USE_CONTEXT_VARS", False), before))
    except AttributeError:  # in the middle of its import
        pass
