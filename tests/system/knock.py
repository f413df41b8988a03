#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent that is about to leave hears whoever has knocked: what was sent to it is answered, or sending fails. A host
whose greeting is lost in silence waits a hundred ticks for nothing."""
import os
import re
import socket
import struct
import subprocess
import time

from support import BUILD, SOURCE, check, done

AGENT = os.path.join(BUILD, "deepprof-agent")
with open(os.path.join(SOURCE, "base/region.h")) as file:
    text = file.read()
VERSION = int(re.search(r"DP_REGION_VERSION = (\d+)", text)[1])
KINDS = re.search(r"enum dp_message_kind \{(.*?)\n\};", text, re.S)[1]
STATUS = 1 + re.findall(r"DP_MESSAGE_\w+", KINDS).index("DP_MESSAGE_STATUS")
LINGER = 0.3  # of an agent that had no host


def ask(name, pause):
    """'answered', 'refused' (nobody there, and we know it) or 'lost'. pause: between connecting and sending, as a host
    makes its region then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(10)
        try:
            client.connect("\0" + name + "0")
            end = time.monotonic() + pause
            while time.monotonic() < end:
                pass
            client.send(struct.pack("=IIiIQ", STATUS, VERSION, os.getpid(), 0, 0))
        except OSError:
            return "refused"
        try:
            return "answered" if client.recv(128) else "lost"
        except OSError:
            return "lost"


def knock(number, early, late):
    """A first question moves the moments at which the agent looks at its clock; the second comes when its time is over
    but it has not looked yet."""
    name = f"deepprof/test/{os.getpid()}/{number}/"
    agent = subprocess.Popen([AGENT, "--name", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while ask(name, 0) == "refused" and time.monotonic() - began < 10:
            pass
        began = time.monotonic()
        time.sleep(LINGER + early)
        first = ask(name, 0)
        time.sleep(max(0, began + LINGER + late - time.monotonic()))
        return first, ask(name, 0.0005)
    finally:
        agent.kill()
        agent.wait()


outcomes = [knock(number, -0.06, 0.01 + 0.001 * number) for number in range(25)]
check("an agent that leaves loses nobody's greeting", "lost" not in [o for pair in outcomes for o in pair], outcomes)
check("some have knocked in time", ("answered", "answered") in outcomes, outcomes)
done()
