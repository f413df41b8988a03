# SPDX-License-Identifier: Apache-2.0
"""Many short tasks in two loops that are named, renamed, awaited and cancelled. Each name has a function of its own, in which a
task is only while it is called so. Arguments: a file for {function: name}, seconds."""
import asyncio
import json
import random
import sys
import threading
import time
import zlib

NAMES = 40
DATA = bytes(range(256)) * 1024
leaves, names = [], {}
for number in range(NAMES):
    scope = {"zlib": zlib, "DATA": DATA}
    exec("def leaf_%d(turns):\n total = 0\n for i in range(turns): total += i\n zlib.crc32(DATA)\n return total\n" % number, scope)
    leaves.append(scope["leaf_%d" % number])
    names["leaf_%d" % number] = "called %d%s" % (number, "\u0436" * (number % 3))


def new_name(number):
    """A str of its own each time, whose memory others will have later."""
    return "called %d%s" % (number, "\u0436" * (number % 3))


async def nested(depth, number):
    if depth:
        await nested(depth - 1, number)
    else:
        leaves[number](random.randrange(300))
        await asyncio.sleep(0)
        leaves[number](random.randrange(300))


async def short(depth):
    own = asyncio.current_task()
    for _ in range(random.randrange(1, 4)):
        number = random.randrange(NAMES)
        own.set_name(new_name(number))
        await nested(random.randrange(6), number)
        if depth and random.random() < 0.5:
            children = [asyncio.create_task(short(depth - 1), name=new_name(0)) for _ in range(random.randrange(1, 4))]
            if random.random() < 0.3:
                children[0].cancel()
            how = random.randrange(4)
            if how == 0:
                await asyncio.gather(*children, return_exceptions=True)
            elif how == 1:
                await asyncio.wait(children)
            elif how == 2 and hasattr(asyncio, "TaskGroup"):
                async with asyncio.TaskGroup() as group:
                    for _ in range(2):
                        group.create_task(short(0), name=new_name(1))
                await asyncio.wait(children)
            else:
                for child in children:
                    try:
                        await child
                    except asyncio.CancelledError:
                        pass


async def run(until):
    count = 0
    while time.time() < until:
        await asyncio.gather(*(short(3) for _ in range(5)), return_exceptions=True)
        count += 1
    return count


def main():
    until = time.time() + float(sys.argv[2])
    thread = threading.Thread(target=lambda: asyncio.run(run(until)))
    thread.start()
    count = asyncio.run(run(until))
    thread.join()
    with open(sys.argv[1], "w") as file:
        json.dump(names, file)
    print(count)


main()
