# SPDX-License-Identifier: Apache-2.0
"""Processes and threads that each burn their own CPU time in a function of their own, and say how much, and how much their thread
has used until then: one JSON line each.
usage: python_children_work.py threads|fork|fork_in_thread|os_exit|multiprocessing METHOD|subprocess"""
import json
import os
import sys
import threading
import time
import zlib

SECONDS = 0.4
clock = time.thread_time


def say(who, seconds):
    os.write(1, (json.dumps([os.getpid(), threading.get_native_id(), who, seconds, clock()]) + "\n").encode())


def burn_first():
    begin = clock()
    end = begin + SECONDS
    while clock() < end:
        for _ in range(500):
            pass
    say("burn_first", clock() - begin)


def burn_second():
    begin = clock()
    end = begin + SECONDS
    total = 0
    while clock() < end:
        total += sum(i * i for i in range(200))
    say("burn_second", clock() - begin)


def burn_without_gil():
    """zlib lets other threads run meanwhile."""
    data = os.urandom(1 << 18)
    begin = clock()
    end = begin + SECONDS
    while clock() < end:
        zlib.compress(data, 6)
    say("burn_without_gil", clock() - begin)


def in_threads():
    threads = [threading.Thread(target=f) for f in (burn_first, burn_second, burn_without_gil)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_fork():
    child = os.fork()
    if not child:
        burn_second()
        sys.exit(0)
    burn_first()
    os.waitpid(child, 0)


def forks_in_thread():
    """A thread forks while another one runs: the child's only thread is the one that forked."""
    thread = threading.Thread(target=in_fork)
    thread.start()
    burn_without_gil()
    thread.join()


def in_os_exit():
    child = os.fork()
    if not child:
        burn_second()
        os._exit(3)
    os.waitpid(child, 0)
    burn_first()


def in_multiprocessing(method):
    import multiprocessing
    context = multiprocessing.get_context(method)
    children = [context.Process(target=f) for f in (burn_first, burn_without_gil)]
    for child in children:
        child.start()
    burn_second()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode


def in_subprocess():
    import subprocess
    burn_first()
    subprocess.run([sys.executable, os.path.abspath(__file__), "fork"], check=True)


if __name__ == "__main__":
    {"threads": in_threads, "fork": in_fork, "fork_in_thread": forks_in_thread, "os_exit": in_os_exit,
     "multiprocessing": in_multiprocessing, "subprocess": in_subprocess}[sys.argv[1]](*sys.argv[2:])
