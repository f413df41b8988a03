# SPDX-License-Identifier: Apache-2.0
"""Label sets of contexts, and how the thread's own set keeps to the context that runs.

A scope is one ``with labels(...)`` that has been entered. Scopes are linked, the innermost is a ContextVar's value, so
tasks inherit and keep them as they do any such variable. The profiler knows threads only: its number for the calling
thread must be the innermost scope's whenever that context runs. CPython tells nobody when contexts change (or C code
alone, since 3.14), so there is one rule:

    A thread's number is changed only where it is certain to be changed back before anybody else's code runs.

It is certain in two places: in a function that cannot be suspended and stands at a ``with`` statement (THREAD), and in
what runs under a frame of ours that changes it back, a decorator's or one that _follow puts around each step of an
event loop (STEP). Elsewhere a scope holds for the context alone (CONTEXT), and the context's next step shows it; where
not even the context is its own, as in a generator, it labels nobody (NOWHERE).
"""
from __future__ import annotations

import functools
import opcode
import sys
import threading
import types
from contextvars import ContextVar
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple, TypeVar

from . import _library

# None: there is no library, and nothing in this package does anything. start() may open one.
api: Optional[_library.Api] = _library.in_process()

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Scope(NamedTuple):
    number: int  # of the label set, as the library counts
    outer: Optional[Scope]
    owner: labels
    before: int  # THREAD: the thread's number to change back to; else _STEP or _CONTEXT


_STEP, _CONTEXT = -1, -2


_new_scope = functools.partial(tuple.__new__, Scope)  # half of Scope()'s time

current: ContextVar[Optional[Scope]] = ContextVar("deepprof.labels", default=None)

# ---- the thread's number ----


def _thread_local() -> Any:
    """gevent and eventlet may have made threading.local one per greenlet."""
    try:
        if "gevent.monkey" in sys.modules:
            return sys.modules["gevent.monkey"].get_original("threading", "local")
        if "eventlet.patcher" in sys.modules:
            return sys.modules["eventlet.patcher"].original("threading").local
    except Exception:  # whatever version that is
        pass
    return threading.local


class _Thread(_thread_local()):  # type: ignore[misc]
    """own: what the thread had before we came, and has where no scope is. now: what we last gave it."""

    def __init__(self) -> None:
        self.own = self.now = api.get_labels() if api is not None else 0


thread = _Thread()


def put(number: int) -> None:
    if thread.now != number:
        api.set_labels(number)  # type: ignore[union-attr]
        thread.now = number


def show(scope: Optional[Scope]) -> None:
    put(thread.own if scope is None else scope.number)


# ---- numbers of label sets ----

# The library has room for about 4000 sets and counts what it folds after that; what we remember it cannot count.
_KNOWN_MOST = 3500
_known: Dict[Tuple[int, Tuple[Tuple[str, str], ...]], int] = {}


def _text(value: Any) -> str:
    try:
        return "" if value is None else str(value)
    except Exception:  # not ours to raise: without a profiler nobody would have asked
        return ""


def number_of(base: int, pairs: Mapping[str, Any]) -> int:
    texts = tuple([(key, value if type(value) is str else _text(value)) for key, value in pairs.items()])
    number = _known.get((base, texts))
    if number is None:
        number = base
        for key, value in texts:
            number = api.make_labels(  # type: ignore[union-attr]
                number, _text(key).encode("utf-8", "replace"), value.encode("utf-8", "replace"))
        if len(_known) < _KNOWN_MOST:
            _known[base, texts] = number
    return number


def _scope(owner: labels, outer: Optional[Scope], before: int) -> Scope:
    base = thread.own if outer is None else outer.number
    last = owner._last
    if last[0] != base:
        owner._last = last = (base, number_of(base, owner._pairs))
    return _new_scope((last[1], outer, owner, before))


# ---- frames: is the thread's number certain to be changed back? ----

# code.co_flags, as inspect names them.
_CO_GENERATOR, _CO_COROUTINE, _CO_ITERABLE_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200
_COROUTINE = _CO_COROUTINE | _CO_ITERABLE_COROUTINE
_SUSPENDS = _COROUTINE | _CO_GENERATOR | _CO_ASYNC_GENERATOR
_CACHE = opcode.opmap.get("CACHE", -1)
_LOAD_SPECIAL = opcode.opmap.get("LOAD_SPECIAL", -1)
_WITH = {opcode.opmap[name] for name in ("SETUP_WITH", "BEFORE_WITH") if name in opcode.opmap}
# A frame that awaits another is at one of the first two. While an exception is thrown into that other it is where it was
# suspended: before the first until 3.10, then at the third, since 3.13 after that.
_AWAIT = {opcode.opmap[name] for name in ("YIELD_FROM", "SEND", "YIELD_VALUE") if name in opcode.opmap}
_YIELD_FROM = opcode.opmap.get("YIELD_FROM", -1)
_YIELD_VALUE = opcode.opmap["YIELD_VALUE"]
_RESUME = opcode.opmap.get("RESUME", -1)

# Code objects, by id, that live as long as this module or asyncio. Frames of boundaries change the number back when
# what they call returns; frames of carriers run a task's step between a boundary and the task's own frames.
boundaries: Set[int] = set()
carriers: Set[int] = set()
# Code around which a boundary was put while it may have been running already -> makes it one after the fact, if it can.
early: Dict[int, Callable[[], bool]] = {}

THREAD, STEP, CONTEXT, NOWHERE = range(4)


def _is_at_with(frame: types.FrameType) -> bool:
    code, at = frame.f_code.co_code, frame.f_lasti
    while code[at] == _CACHE:
        at -= 2
    # Since 3.14 the statement loads __enter__ and calls it by two ordinary instructions.
    return code[at] in _WITH or (at >= 2 and code[at - 2] == _LOAD_SPECIAL)


def _is_at_await(frame: types.FrameType) -> bool:
    code, at = frame.f_code.co_code, frame.f_lasti
    while code[at] == _CACHE:
        at -= 2
    if code[at] in _AWAIT:
        return True
    if code[at] == _RESUME:
        return at >= 2 and code[at - 2] == _YIELD_VALUE
    return _YIELD_FROM >= 0 and code[at + 2] == _YIELD_FROM


def _is_managers(frame: types.FrameType) -> bool:
    """The body of a @contextmanager: what it yields to is a with statement further out."""
    return (frame.f_code.co_flags & _COROUTINE == 0 and frame.f_back is not None and
            frame.f_back.f_code.co_name in ("__enter__", "__exit__", "__aenter__", "__aexit__"))


def is_bounded(frame: Optional[types.FrameType]) -> bool:
    """Does every way to suspend what this frame runs in lead through a boundary? From the first frame that can be
    suspended on there may only be frames that await the one above them, until the boundary."""
    can_suspend = False
    while frame is not None:
        code = frame.f_code
        if id(code) in boundaries:
            return True
        if code.co_flags & _SUSPENDS:
            if not _is_managers(frame):
                if can_suspend and not _is_at_await(frame):
                    return False
                can_suspend = True
            elif can_suspend:
                return False
        elif id(code) in early:
            return frame.f_back is not None and id(frame.f_back.f_code) in boundaries or early[id(code)]()
        elif can_suspend and id(code) not in carriers:
            return False
        frame = frame.f_back
    return False


def _has_context(frame: Optional[types.FrameType]) -> bool:
    """Is the context that runs this frame's own: the thread's, or its task's? A coroutine driven by hand shares its
    driver's."""
    while frame is not None and (not frame.f_code.co_flags & _SUSPENDS or _is_managers(frame)):
        frame = frame.f_back
    if frame is None:
        return True
    while frame.f_back is not None and frame.f_back.f_code.co_flags & _SUSPENDS and _is_at_await(frame.f_back):
        frame = frame.f_back
    return _follow.is_task(frame)


def _place(frame: types.FrameType) -> int:
    """Of a scope entered by this frame."""
    outer: Optional[types.FrameType] = frame
    while outer is not None:
        kind = outer.f_code.co_flags & _SUSPENDS
        if not kind:
            if _is_at_with(outer):
                return THREAD
            if outer.f_code.co_name != "__enter__":
                break
        elif kind & _COROUTINE:
            break
        elif not _is_managers(outer):
            # A generator shares its context with whom it yields to. Only a decorator can tell them apart.
            return NOWHERE
        outer = outer.f_back
    if is_bounded(outer):
        return STEP
    return CONTEXT if _has_context(outer) else NOWHERE


def _without(innermost: Scope, gone: Scope) -> Optional[Scope]:
    """The scopes less this one. Those inside of it, left open, stay with their own labels alone."""
    if innermost is gone:
        return gone.outer
    outer = innermost.outer and _without(innermost.outer, gone)
    return _scope(innermost.owner, outer, innermost.before)


# ---- what users see ----

_NEVER = (-1, 0)


class labels:  # pylint: disable=invalid-name
    """Labels that the samples of what runs inside carry: ``with labels(endpoint="/search"):`` or a decorator, also of
    async functions and generators. Inner ones are added to outer ones and win over them; None takes one away.

    They belong to the context (contextvars): they follow a task over every await, a new task inherits them, no other
    task ever shows them. One object may be used many times and by many tasks.

    At most 8 labels of few different values: an endpoint, a tenant, a phase; not a request's number. A key that is
    not possible (include/deepprof.h) is left out. docs/PYTHON.md says what holds where."""

    __slots__ = ("_pairs", "_last")
    _pairs: Mapping[str, Any]
    _last: Tuple[int, int]  # a set it was added to, and the set that came of it

    def __init__(self, /, **pairs: Any) -> None:
        self._pairs = pairs
        self._last = _NEVER

    def __enter__(self) -> labels:
        if api is not None:
            _enter(self, sys._getframe(1))
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if api is not None:
            _leave(self, sys._getframe(1))

    def __call__(self, function: _Function) -> _Function:
        made: _Function = _decorated(self, function)
        return made


class tag_wrapper(labels):  # pylint: disable=invalid-name
    """labels() as pyroscope-io calls it: ``with tag_wrapper({"endpoint": "/search"}):``."""

    __slots__ = ()

    def __init__(self, tags: Mapping[str, Any], /) -> None:  # pylint: disable=super-init-not-called
        self._pairs = {**tags} if tags else {}
        self._last = _NEVER


def _enter(owner: labels, frame: types.FrameType) -> None:
    _follow.follow()
    place = _place(frame)
    if place == NOWHERE:
        return
    before = thread.now if place == THREAD else _STEP if place == STEP else _CONTEXT
    scope = _scope(owner, current.get(), before)
    current.set(scope)
    if place != CONTEXT:
        put(scope.number)


def _leave(owner: labels, frame: types.FrameType) -> None:
    innermost = scope = current.get()
    while scope is not None and scope.owner is not owner:
        scope = scope.outer
    if scope is None or innermost is None:
        return  # entered without a library, or NOWHERE; or closed by the collector in another's context
    rest = _without(innermost, scope)
    current.set(rest)
    if scope.before >= 0:
        put(scope.before)
    elif scope.before == _STEP and thread.now == innermost.number or is_bounded(frame):
        # The first: what a boundary shows, it changes back.
        show(rest)


# ---- decorators ----


class _Steps:
    """A coroutine or generator whose steps run under labels. Between them neither the thread nor the context has
    them, whoever drives it."""

    __slots__ = ("_inner", "_send", "_owner", "_outer", "_kept")

    def __init__(self, inner: Any, owner: labels) -> None:
        self._inner, self._send, self._owner = inner, inner.send, owner
        self._outer: Optional[Scope] = None
        self._kept: Optional[Scope] = None  # the innermost scope when it was last suspended
        _follow.follow()

    def _resume(self, step: Callable[..., Any], *arguments: Any) -> Any:
        outer, before = current.get(), thread.now
        kept = self._kept
        if kept is None or self._outer is not outer:
            kept, self._outer = _scope(self._owner, outer, _STEP), outer
        current.set(kept)
        put(kept.number)
        try:
            return step(*arguments)
        finally:
            self._kept = current.get()
            current.set(outer)
            put(before)

    def __iter__(self) -> _Steps:
        return self

    __await__ = __iter__

    def __next__(self) -> Any:
        return self._resume(self._send, None)

    def send(self, value: Any) -> Any:
        return self._resume(self._send, value)

    def throw(self, *exception: Any) -> Any:
        return self._resume(self._inner.throw, *exception)

    def close(self) -> None:
        self._resume(self._inner.close)


class _Awaited:
    """What an async generator's methods return has no name of its own for its steps: __await__ gives it."""

    __slots__ = ("_steps",)

    def __init__(self, awaitable: Any, owner: labels) -> None:
        self._steps = _Steps(awaitable.__await__(), owner)

    def __await__(self) -> _Steps:
        return self._steps


boundaries.add(id(_Steps._resume.__code__))


def _decorated(owner: labels, function: Any) -> Any:
    import inspect  # here, as it is the slowest to import

    if inspect.iscoroutinefunction(function):
        made: Any = _coroutine(owner, function)
    elif inspect.isasyncgenfunction(function):
        made = _async_generator(owner, function)
    elif inspect.isgeneratorfunction(function):
        made = _generator(owner, function)
        if function.__code__.co_flags & _CO_ITERABLE_COROUTINE:
            made = types.coroutine(made)
    else:
        made = _plain(owner, function)
    return functools.wraps(function)(made)


def _coroutine(owner: labels, function: Any) -> Any:
    async def labelled(*args: Any, **kwargs: Any) -> Any:
        if api is None:
            return await function(*args, **kwargs)
        _follow.follow()
        if is_bounded(sys._getframe()):  # somebody puts labels on and off already, at half the price
            with owner:
                return await function(*args, **kwargs)
        return await _Steps(function(*args, **kwargs), owner)

    return labelled


def _generator(owner: labels, function: Any) -> Any:
    def labelled(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        return (yield from generator if api is None else _Steps(generator, owner))

    return labelled


def _async_generator(owner: labels, function: Any) -> Any:
    async def labelled(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        step = generator.__anext__()
        while True:
            try:
                value = await (step if api is None else _Awaited(step, owner))
            except StopAsyncIteration:
                return
            try:
                sent = yield value
            except GeneratorExit:
                closing = generator.aclose()
                await (closing if api is None else _Awaited(closing, owner))
                raise
            except BaseException as error:  # pylint: disable=broad-except
                step = generator.athrow(error)
            else:
                step = generator.asend(sent)

    return labelled


def _plain(owner: labels, function: Any) -> Any:
    def labelled(*args: Any, **kwargs: Any) -> Any:
        if api is None:
            return function(*args, **kwargs)
        _follow.follow()
        outer, before = current.get(), thread.now
        scope = _scope(owner, outer, _STEP)
        current.set(scope)
        put(scope.number)
        try:
            return function(*args, **kwargs)
        finally:
            current.set(outer)
            put(before)

    boundaries.add(id(labelled.__code__))  # one code object for all
    return labelled


from . import _follow  # noqa: E402  pylint: disable=wrong-import-position,cyclic-import
