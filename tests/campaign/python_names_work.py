# SPDX-License-Identifier: Apache-2.0
"""Many short threads that are renamed all the time, while others change their attributes. Each name has a function of its own,
in which a thread is only while it is called so. Arguments: a file for {function: name}, seconds."""
import json
import random
import sys
import threading
import time
import zlib

NAMES = 40
DATA = bytes(range(256)) * 4096
leaves, names = [], {}
for number in range(NAMES):
    scope = {"zlib": zlib, "DATA": DATA}
    exec("def leaf_%d(turns):\n total = 0\n for i in range(turns): total += i\n zlib.crc32(DATA)\n return total\n" % number, scope)
    leaves.append(scope["leaf_%d" % number])
    names["leaf_%d" % number] = "called %d%s" % (number, "\u0436" * (number % 3))


class More(threading.Thread):
    def __init__(self, *args, **kwargs):
        for i in range(random.randrange(40)):
            setattr(self, "before_%d" % i, "wrong")
        super().__init__(*args, **kwargs)


def new_name(number):
    """A str of its own each time, whose memory others will have later."""
    return "called %d%s" % (number, "\u0436" * (number % 3))


def live(until):
    own = threading.current_thread()
    for _ in range(random.randrange(1, 40)):
        number = random.randrange(NAMES)
        own.name = new_name(number)
        leaves[number](random.randrange(3000))
        own.extra = "wrong %d" % number
        if random.random() < 0.1:
            vars(own)["more_%d" % number] = "wrong"
        if random.random() < 0.1:
            del own.extra
        if time.time() > until:
            break


def disturb(until):
    while time.time() < until:
        for thread in threading.enumerate():
            for i in range(10):
                setattr(thread, "disturbed_%d" % i, "wrong %d" % i)
            vars(thread)
            for i in range(10):
                delattr(thread, "disturbed_%d" % i)
        time.sleep(0.002)


def main():
    until = time.time() + float(sys.argv[2])
    disturber = threading.Thread(target=disturb, args=(until,))
    disturber.start()
    alive, count = [], 0
    while time.time() < until:
        alive = [thread for thread in alive if thread.is_alive()]
        while len(alive) < 8:
            thread = random.choice((threading.Thread, More))(target=live, args=(until,))
            thread.start()
            alive.append(thread)
            count += 1
        alive[0].join(0.05)
    for thread in alive + [disturber]:
        thread.join()
    with open(sys.argv[1], "w") as file:
        json.dump(names, file)
    print(count)


main()
