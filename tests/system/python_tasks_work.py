# SPDX-License-Identifier: Apache-2.0
"""What python_tasks.py profiles: tasks whose names and awaiters are known. Each computes in a function made for its name alone.
Arguments: a file for {"names": {function: name}, "chains": {function: [functions, root first]}}, CPU seconds [uvloop]."""
import asyncio
import json
import sys
import threading
import time
import zlib

names, chains = {}, {}
lock = threading.Lock()
DATA = bytes(range(256)) * 8192
MINOR = sys.version_info[1]


def leaf_for(name, chain=None):
    """A function that only runs while the task is called so (None: while there is none)."""
    with lock:
        function = "leaf_%d" % len(names)
        names[function] = names[function + "_free"] = name
        if chain:
            chains[function] = chains[function + "_free"] = chain
    scope = {"zlib": zlib, "DATA": DATA}
    exec("def %s_free():\n zlib.crc32(DATA)\n"
         "def %s():\n total = 0\n for i in range(3000): total += i\n %s_free()\n return total\n" % ((function,) * 3), scope)
    return scope[function]


async def named(until, *leaves):
    """leaves: (name, function) of the names that the task takes on in turn."""
    turn = 0
    while time.process_time() < until:
        name, leaf = leaves[turn % len(leaves)]
        asyncio.current_task().set_name(name)
        leaf()
        await asyncio.sleep(0)
        turn += 1


async def unnamed(until):
    """Nobody asks for its name before the end: until then asyncio may not have made one."""
    leaf = leaf_for("not known yet")
    while time.process_time() < until:
        leaf()
        await asyncio.sleep(0)
    for function in (leaf.__name__, leaf.__name__ + "_free"):
        names[function] = as_shown(asyncio.current_task().get_name())


def as_shown(name):
    return "Task-N" if name.startswith("Task-") and name[5:].isdigit() else name


def callbacks(until, loop, leaf):
    if time.process_time() < until:
        leaf()
        loop.call_soon(callbacks, until, loop, leaf)


async def short_lived(until, leaves):
    """Tasks that come and go."""
    turn = 0
    while time.process_time() < until:
        name, leaf = leaves[turn % len(leaves)]
        await asyncio.create_task(once(leaf), name=name)
        turn += 1


async def once(leaf):
    leaf()


# ---- who awaits ----

async def awaited_task(leaf):
    for _ in range(3):
        leaf()
        await asyncio.sleep(0)


async def in_between(awaitable):
    return await awaitable


async def by_await(until, leaf):
    while time.process_time() < until:
        await in_between(asyncio.create_task(awaited_task(leaf), name="awaited"))


async def by_gather(until, first, second):
    while time.process_time() < until:
        await asyncio.gather(asyncio.create_task(awaited_task(first), name="gathered one"),
                             asyncio.create_task(awaited_task(second), name="gathered two"))


async def by_group(until, leaf):
    while time.process_time() < until:
        async with asyncio.TaskGroup() as group:
            group.create_task(awaited_task(leaf), name="grouped")


async def grandparent(until, leaf):
    while time.process_time() < until:
        await asyncio.create_task(parent(leaf), name="parent")


async def parent(leaf):
    await in_between(asyncio.create_task(awaited_task(leaf), name="grandchild"))


# ---- eager tasks ----

async def eager_child(leaves):
    """Up to 3.13 the loop names it after it has begun."""
    leaves[as_shown(asyncio.current_task().get_name())]()
    await asyncio.sleep(0)
    leaves[as_shown(asyncio.current_task().get_name())]()


async def eager(until, own, leaves):
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    while time.process_time() < until:
        own()
        task = loop.create_task(eager_child(leaves), name="eager child")
        own()
        await task
        own()


def with_leaf(name):
    return name, leaf_for(name)


class Subclass(asyncio.Task):
    pass


def subclassed(loop, coro, **more):
    return Subclass(coro, loop=loop, **more)


async def main_of(until, number):
    loop = asyncio.get_running_loop()
    if number == 1:
        loop.set_task_factory(subclassed)
    tasks = [
        named(until, with_leaf("named %d" % number)),
        named(until, with_leaf("first %d" % number), with_leaf("second %d" % number)),
        named(until, with_leaf("\u0436\u0438\u0432\u043e %d" % number), with_leaf("\xe9%d" % number)),
        unnamed(until),
        short_lived(until, [with_leaf("short %d %d" % (number, i)) for i in range(5)]),
        by_await(until, leaf_for("awaited", ["by_await", "in_between", "[awaits]", "awaited_task"])),
        by_gather(until, leaf_for("gathered one", ["by_gather", "[awaits]", "awaited_task"]),
                  leaf_for("gathered two", ["by_gather", "[awaits]", "awaited_task"])),
        grandparent(until, leaf_for("grandchild", ["grandparent", "[awaits]", "parent", "in_between", "[awaits]", "awaited_task"])),
    ]
    if MINOR >= 11:
        tasks.append(by_group(until, leaf_for("grouped", ["by_group", "TaskGroup.__aexit__"] + ["TaskGroup._aexit"] * hasattr(asyncio.TaskGroup, "_aexit") +
                                    ["[awaits]", "awaited_task"])))
    loop.call_soon(callbacks, until, loop, leaf_for(None))
    await asyncio.gather(*tasks)


def other_thread(until):
    asyncio.run(main_of(until, 1))


def eager_thread(until):
    async def run():
        asyncio.current_task().set_name("eager parent")
        await eager(until, leaf_for("eager parent"), dict(map(with_leaf, ("eager child", "Task-N"))))
    asyncio.run(run())


def main():
    until = time.process_time() + float(sys.argv[2])
    if sys.argv[3:] == ["uvloop"]:
        import uvloop
        uvloop.install()
    threads = [threading.Thread(target=other_thread, args=(until,))]
    if MINOR >= 12:
        threads.append(threading.Thread(target=eager_thread, args=(until,)))
    for thread in threads:
        thread.start()
    asyncio.run(main_of(until, 0))
    for thread in threads:
        thread.join()
    with open(sys.argv[1], "w") as file:
        json.dump({"names": names, "chains": chains}, file)
    print(len(names))


main()
