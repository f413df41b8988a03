# SPDX-License-Identifier: Apache-2.0
"""For python_greenlets.py: greenlets of two kinds, each started deep below what the other kind or the main program was just doing,
that switch among each other all the time. What the stack holds above a greenlet's start then belongs to somebody else."""
import json
import sys
import time

import greenlet

SWITCHES_EVERY = 200
main = greenlet.getcurrent()
ends = 0.0


def spin(n):
    x = 0
    for i in range(n):
        x += i * i
    return x


def a_leaf():
    spin(SWITCHES_EVERY)


def a_deep(depth):
    if depth:
        a_deep(depth - 1)
    else:
        a_leaf()
        main.switch()


def a_run():
    while time.thread_time() < ends:
        a_deep(6)


def b_leaf():
    spin(SWITCHES_EVERY)


def b_run():
    while time.thread_time() < ends:
        b_leaf()
        sorted([3, 2, 1], key=b_key)


def b_key(x):
    b_leaf()
    main.switch()
    return x


def start(run, depth):
    """A greenlet's stack begins where it is first switched to."""
    if depth:
        return start(run, depth - 1)
    one = greenlet.greenlet(run)
    one.switch()
    return one


def main_leaf():
    spin(SWITCHES_EVERY)


def main_deep(depth, all_of_them):
    if depth:
        return main_deep(depth - 1, all_of_them)
    main_leaf()
    for one in all_of_them:
        if not one.dead:
            one.switch()


def work(seconds):
    global ends
    ends = time.thread_time() + seconds
    all_of_them = [start(a_run if i % 2 else b_run, 3 * i) for i in range(8)]
    depth = 0
    while time.thread_time() < ends:
        depth = (depth + 7) % 23
        main_deep(depth, all_of_them)
    while not all(one.dead for one in all_of_them):
        main_deep(0, all_of_them)


began = time.thread_time()
work(float(sys.argv[2]))
with open(sys.argv[1], "w") as file:
    json.dump({"cpu": time.thread_time() - began}, file)
