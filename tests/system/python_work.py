# SPDX-License-Identifier: Apache-2.0
"""Work for python_frames.py, on CPython 3.8 and later: python_work.py TRUTH SECONDS

A first round runs under sys.settrace and writes down, for every call, who called it and from which line: the truth that samples
are compared with. It ends with what it printed, so that a changed result is seen."""
import functools
import json
import re
import sys
import time
import zlib


def spin(n):
    total = 0
    for i in range(n):
        total += i % 7
    return total + zlib.crc32(b"x" * 4000)


def leaf_a(n):
    return spin(n)


def leaf_b(n):
    return spin(n) + len(sorted(range(n), key=lambda x: -x))


def hot_a(n):
    return leaf_a(n)


def hot_b(n):
    return (leaf_b(n) +
            leaf_b(n // 2))


def sort_key(x):
    return spin(3) - x


def by_sort(n):
    return sorted(range(n), key=sort_key)[0]


def replace(match):
    return str(spin(len(match.group()) + 20))


def by_regex(n):
    return len(re.sub("a+", replace, "ab" * n))


def numbers(n):
    for i in range(n):
        yield spin(20) + i


def relay(n):
    yield from numbers(n)


def by_generator(n):
    return sum(relay(n))


async def inner(n):
    return spin(n)


async def outer(n):
    return await inner(n)


def by_coroutine(n):
    coroutine = outer(n)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def by_recursion(n, depth=30):
    if depth:
        return by_recursion(n, depth - 1)
    return spin(n)


class Thing:
    def __init__(self, n):
        self.value = spin(n)

    @property
    def twice(self):
        return spin(self.value % 50) + 1

    def __lt__(self, other):
        return spin(5) < other.value

    class Inner:
        @staticmethod
        def still(n):
            return spin(n)


def by_class(n):
    things = sorted(Thing(n + i) for i in range(4))
    return sum(thing.twice for thing in things) + Thing.Inner.still(n)


def by_comprehension(n):
    return sum([spin(i) for i in range(n)]) + len({i: spin(5) for i in range(n)})


def by_exception(n):
    def fails():
        raise ValueError(spin(n))
    try:
        fails()
    except ValueError as error:
        return error.args[0]
    finally:
        spin(20)


def by_tools(n):
    half = functools.partial(spin, n // 2)
    return half() + functools.reduce(lambda a, b: a + spin(b), range(12)) + sum(map(spin, [n, 5]))


EXECUTED = compile("def executed(n):\n    return spin(n)\nresult = executed(40)\n", "<made>", "exec")


def by_exec():
    scope = {"spin": spin}
    exec(EXECUTED, scope)
    return scope["result"]


def round_of_work():
    return [hot_a(300), hot_b(200), by_sort(60), by_regex(30), by_generator(30), by_coroutine(200), by_recursion(100),
            by_class(30), by_comprehension(25), by_exception(60), by_tools(60), by_exec()]


def name_of(code):
    return getattr(code, "co_qualname", code.co_name)


def stack_of(frame):
    """Root first, from round_of_work on: [function, file, line]."""
    stack = []
    while frame:
        stack.append([name_of(frame.f_code), frame.f_code.co_filename, frame.f_lineno])
        if frame.f_code is round_of_work.__code__:
            return stack[::-1]
        frame = frame.f_back
    return []


def timed(expected, seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        if round_of_work() != expected:
            sys.exit("a changed result")


def main():
    truth = set()

    def on_event(frame, event, argument):
        stack = stack_of(frame)
        if stack:
            truth.add(json.dumps(stack))
        return on_event

    sys.settrace(on_event)
    expected = round_of_work()
    sys.settrace(None)
    with open(sys.argv[1], "w") as file:
        json.dump([json.loads(stack) for stack in truth], file)
    timed(expected, float(sys.argv[2]))
    print(sum(expected))


if __name__ == "__main__":
    main()
