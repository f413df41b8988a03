# SPDX-License-Identifier: Apache-2.0
"""What python_names.py profiles: threads whose names are known. Each spins in a function made for its name alone, so that a
sample in that function tells what the name was. Arguments: a file for {function: name}, seconds of CPU time."""
import json
import sys
import threading
import time
import zlib

names = {}
lock = threading.Lock()
DATA = bytes(range(256)) * 16384


def leaf_for(name):
    """A function that only runs while the thread is called so: leaf(turns)."""
    with lock:
        function = "leaf_%d" % len(names)
        names[function] = name
    scope = {"zlib": zlib, "DATA": DATA}
    exec("def %s(turns):\n total = 0\n for i in range(turns): total += i\n return total\n"
         "def %s_free(turns):\n for i in range(turns): zlib.crc32(DATA)\n" % (function, function), scope)
    with lock:
        names[function + "_free"] = name
    return scope[function], scope[function + "_free"]


def spin(until, own, *leaves):
    """leaves: of the names that the thread takes on in turn."""
    turn = 0
    while time.process_time() < until:
        name, leaf, free = leaves[turn % len(leaves)]
        if own.name != name:
            own.name = name
        leaf(2000)
        free(1)
        turn += 1


class Sub(threading.Thread):
    """Attributes before the base's own, and more than share a table of keys."""

    def __init__(self, *args, **kwargs):
        for i in range(40):
            setattr(self, "before_%d" % i, "wrong %d" % i)
        super().__init__(*args, **kwargs)


class Slots(threading.Thread):
    __slots__ = ("one", "two")


def with_leaf(name):
    return (name,) + leaf_for(name)


def start(kind, until, name, *others):
    leaves = [with_leaf(name)] + [with_leaf(other) for other in others]
    thread = kind(target=lambda: spin(until, threading.current_thread(), *leaves), name=name)
    thread.start()
    return thread


def churn(thread, until):
    """Its attributes come and go while it is sampled."""
    turn = 0
    while time.process_time() < until:
        for i in range(50):
            setattr(thread, "more_%d" % i, "wrong %d" % i)
        vars(thread)
        for i in range(50):
            delattr(thread, "more_%d" % i)
        turn += 1
        time.sleep(0.001)


def renamed_by_another(until):
    """The new name is there before the function that belongs to it runs, and stays until it has ended."""
    first, second = with_leaf("renamed first"), with_leaf("renamed second")
    turn, ready, done = [first], threading.Event(), threading.Event()

    def body():
        while time.process_time() < until:
            ready.wait(1)
            ready.clear()
            turn[0][1](20000)
            done.set()

    thread = threading.Thread(target=body, name="renamed first")
    thread.start()
    while time.process_time() < until:
        turn[0] = second if turn[0] is first else first
        thread.name = turn[0][0]
        ready.set()
        done.wait(1)
        done.clear()
    ready.set()
    thread.join()


def main():
    until = time.process_time() + float(sys.argv[2])
    threads = [
        start(threading.Thread, until, "plain"),
        start(threading.Thread, until, "latin-1 \xe9\xff"),
        start(threading.Thread, until, "\u0436\u0438\u0432\u043e"),
        start(threading.Thread, until, "\U0001f40d " * 10),
        start(threading.Thread, until, "long " * 50),
        start(threading.Thread, until, "one", "two", "three"),
        start(Sub, until, "of a subclass", "renamed in it"),
        start(Slots, until, "with slots"),
    ]
    threads.append(threading.Thread(target=renamed_by_another, args=(until,)))
    churned = start(threading.Thread, until, "churned", "churned again")
    threads.append(threading.Thread(target=churn, args=(churned, until)))
    for thread in threads[-2:]:
        thread.start()
    for thread in threads + [churned]:
        thread.join()
    with open(sys.argv[1], "w") as file:
        json.dump(names, file)
    print(len(names))


main()
