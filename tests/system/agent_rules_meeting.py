#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Host and agent find each other, and only each other; and either one's death is no harm to the other. Which test
stands for which rule: docs/AGENT-RULES.md."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from agent_rules_support import HOST, Guest, check, comments, pids, status, text, top, wait
from support import done

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def skip(claim, reason):
    print(f"skip {claim}: {reason}")


# ---- 2.1, 2.2, 2.7, 2.8: who belongs together ----

def keys():
    """Two hosts share an agent only if they are the same to the kernel in all that counts."""
    guest = Guest()
    first = guest.start([HOST, "lives"])
    guest.wait_agent()
    second = guest.start([HOST, "lives"])
    time.sleep(1)
    check("2.1 two equal hosts share an agent", len(guest.agents()) == 1, guest.agents())
    second.communicate()
    for claim, starter in (
            ("another uid", ["setpriv", "--reuid", "54321", "--clear-groups"]),
            ("another gid", ["setpriv", "--regid", "54321", "--clear-groups"]),
            ("an ambient capability", NOBODY + ["--inh-caps", "+net_bind_service", "--ambient-caps",
                                                "+net_bind_service"]),
            ("fewer capabilities", ["capsh", "--drop=cap_net_raw", "--", "-c", 'exec "$@"', "sh"]),
            ("another mount name space", ["unshare", "-m"]),
            ("another network name space", ["unshare", "-n"]),
            ("another pid name space", ["unshare", "-pf", "--kill-child"]),
            ("an unmapped user name space", ["unshare", "-U"]),
            ("a mapped user name space", ["unshare", "-Ur"]),
            ("no new privileges", ["setpriv", "--no-new-privs"])):
        if subprocess.run(starter + ["true"], stderr=subprocess.DEVNULL).returncode:
            skip("2.1 " + claim, "refused here")
            continue
        before = set(guest.agents())
        other = guest.start(starter + [HOST, "lives"])
        check(f"2.1 {claim}: an agent of its own", wait(lambda: set(guest.agents()) - before, 30))
        out = other.communicate()
        check(f"2.1 {claim}: the host ends as ever", (out[0], other.returncode) == (b"alive\ndone\n", 0), out)
        check(f"2.1 {claim}: its agent leaves", wait(lambda: set(guest.agents()) <= before, 30))
    first.communicate()
    guest.wait_no_agent()
    # Another root directory, with all we need in it.
    guest.remove()


def unreadable_hosts():
    """/proc/HOST is closed to the agent: nothing of it is needed."""
    for claim, starter in (("of a dropped uid", NOBODY), ("with an ambient capability", NOBODY + [
            "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]), ("of root", [])):
        guest = Guest()
        guest.same(f"2.8 a non-dumpable host {claim} lives", starter + [HOST, "not_dumpable", "600"])
        profile = wait(guest.profiles, 20)
        check(f"2.8 a non-dumpable host {claim} has its names", profile and re.search(r"not_dumpable;.*work",
                                                                                       top(profile[0])))
        guest.remove()
    guest = Guest()
    hidden = ["unshare", "-m", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"", "sh"] + NOBODY
    if subprocess.run(hidden + ["true"], stderr=subprocess.DEVNULL).returncode:
        skip("2.9 hidepid=2", "refused here")
    else:
        for case in ("burns", "not_dumpable"):
            guest.same(f"2.9 hidepid=2: {case} lives", hidden + [HOST, case, "600"])
            profile = wait(guest.profiles, 20)
            check(f"2.9 hidepid=2: {case} is profiled", profile and "work" in top(profile[0]))
            guest.wait_no_agent()
            guest.forget()
    guest.remove()


# ---- 2.4, 2.7: strangers at the rendezvous ----

SQUATTER = r"""
import os, socket, sys, time
kind, uid, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
os.setgid(uid); os.setuid(uid)
listeners = []
for name in names:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.bind("\0" + name)
    if kind != "bound":
        one.listen(0 if kind == "full" else 1024)
    listeners.append(one)
kept = []
if kind == "full":
    for name in names:
        for _ in range(8):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.setblocking(False)
            try:
                client.connect("\0" + name)
            except BlockingIOError:
                pass
            kept.append(client)
for one in listeners:
    one.setblocking(False)
print("ready", flush=True)
while True:
    for one in listeners if kind not in ("full", "bound", "deaf") else []:
        try:
            peer, _ = one.accept()
        except BlockingIOError:
            continue
        if kind == "closes":
            peer.close()
        elif kind == "silent":
            kept.append(peer)
        else:
            try:
                peer.send(os.urandom(4000))
                peer.send(b"\xff" * 40)
            except OSError:
                pass
            kept.append(peer)
    time.sleep(0.002)
"""


def squatters():
    guest = Guest()
    host = guest.start([HOST, "lives"])
    guest.wait_agent()
    name = wait(lambda: [n for n in guest.sockets() if n.startswith("deepprof/")], 10)[0]
    host.communicate()
    guest.wait_no_agent()
    names = [name[:-1] + str(i) for i in range(4)]
    check("2.7 the rendezvous has four names", name.endswith("/0"), name)
    for who, uid in (("another user's", 65534), ("one's own", 0)):
        for kind in ("full", "bound", "closes", "silent", "garbage", "deaf"):
            for count in (1, 4):
                squatter = subprocess.Popen([sys.executable, "-c", SQUATTER, kind, str(uid)] + names[:count],
                                            stdout=subprocess.PIPE)
                squatter.stdout.readline()
                where = "the first name" if count == 1 else "every name"
                guest.forget()
                begin = time.time()
                guest.same(f"2.7 {who} squatter, {kind}, on {where}: the program lives", [HOST, "burns", "500"])
                took = time.time() - begin
                if took > 60:
                    check(f"2.4 {who} squatter, {kind}, on {where}: nobody waits for it", False, took)
                if count == 1 and uid and kind != "bound":
                    check(f"2.7 {who} squatter, {kind}, on {where}: the program is profiled all the same",
                          wait(guest.profiles, 20))
                squatter.kill()
                squatter.wait()
                guest.wait_no_agent()
    # One's own user's process that took the region and keeps silent: passed over in time.
    guest.forget()
    squatter = subprocess.Popen([sys.executable, "-c", SQUATTER, "silent", "0", names[0]], stdout=subprocess.PIPE)
    squatter.stdout.readline()
    host = guest.start([HOST, "lives"])
    check("2.7 one's own silent squatter is passed over", wait(lambda: guest.serves(host), 60))
    regions = regions_of(host)
    check("2.6 and costs one region of memory", len(regions) <= 2, regions)
    time.sleep(1)
    host.communicate()
    check("2.7 and the program is profiled", wait(guest.profiles, 20))
    squatter.kill()
    squatter.wait()
    guest.remove()


# ---- 2.5, 2.6: farewell and death ----

def farewell():
    """Hosts that come just when the agent leaves."""
    guest = Guest()
    missing = []
    for i in range(24):
        host = guest.start([HOST, "burns", "120"])
        out = host.communicate()[0]
        if out != b"done\n":
            missing.append((i, out))
        time.sleep(0.15 + 0.02 * i)
    guest.wait_no_agent()
    check("2.5 hosts that come when the agent leaves end as ever", not missing, missing)
    check("2.5 and each is profiled", len(guest.profiles()) == 24, len(guest.profiles()))
    guest.remove()


def regions_of(host):
    return [line for line in open(f"/proc/{host.pid}/maps") if "rw-s" in line and "memfd:deepprof" in line]


def death():
    guest = Guest()
    host = guest.start([HOST, "lives"])
    agent = guest.wait_agent()[0]
    time.sleep(2)
    os.kill(agent, signal.SIGKILL)
    begin = time.time()
    again = wait(lambda: guest.serves(host, [agent]), 100)
    check("2.6 a killed agent is replaced", again)
    print(f"     after {time.time() - begin:.1f} s")
    time.sleep(1.5)
    os.kill(again, signal.SIGKILL)
    begin = time.time()
    seen = wait(lambda: [a for a in guest.agents() if a not in (agent, again)], 15)
    check("2.6 but not twice within half a minute", not seen, time.time() - begin)
    check("2.6 later it is", wait(lambda: guest.serves(host, [agent, again]), 120))
    time.sleep(1)
    out = host.communicate()
    check("2.6 its host ends as ever", (out, host.returncode) == ((b"alive\ndone\n", b""), 0), out)
    profile = wait(guest.profiles, 20)
    said = comments(profile[0]) if profile else ""
    lost = re.search(r"agent_lost \d+, ([\d.]+) s", said)
    check("2.6 what went with it is counted, with its weight", lost and float(lost[1]) > 1, said[:600])
    guest.remove()

    guest = Guest()
    host = guest.start([HOST, "lives"])
    agent = guest.wait_agent()[0]
    time.sleep(1)
    os.kill(agent, signal.SIGSTOP)
    check("2.6 a stopped agent is replaced", wait(lambda: guest.serves(host, [agent]), 120), guest.agents())
    regions = regions_of(host)
    check("2.6 at the price of a few regions", len(regions) <= 6, len(regions))
    time.sleep(2)
    out = host.communicate()
    check("2.6 its host ends as ever", (out, host.returncode) == ((b"alive\ndone\n", b""), 0), out)
    profile = wait(guest.profiles, 20)
    check("2.6 and is profiled", profile)
    before = os.stat(profile[0]).st_mtime_ns if profile else 0
    os.kill(agent, signal.SIGCONT)
    check("2.6 the stopped one goes on and leaves", guest.wait_no_agent(30))
    check("2.6 and delivers nothing that was counted as lost",
          [os.stat(p).st_mtime_ns for p in guest.profiles()] == [before], guest.profiles())
    guest.remove()

    # Killed at any moment of its life, by hosts of all kinds.
    guest = Guest()
    wrong = []
    for i in range(12):
        host = guest.start([HOST, "burns", "400"], {"rate": 1000})
        if wait(guest.agents, 10):
            time.sleep(i * 0.02)
            for agent in guest.agents():
                os.kill(agent, signal.SIGKILL)
        out = host.communicate()
        if (out, host.returncode) != ((b"done\n", b""), 0):
            wrong.append((out, host.returncode))
    check("2.6 hosts whose agent is killed at any moment end as ever", not wrong, wrong)
    guest.remove()


# ---- 2.10, 4.4, 5.7: what passes between them ----

def exchange():
    from agent_rules_support import seals
    token = "tiger-lily-4711"
    # verify=1: each sample carries a copy of the stack.
    guest = Guest(server="http://127.0.0.1:9", auth="bearer:" + token, verify=1, output=None)
    del guest.settings["output"]
    host = guest.start([HOST, "lives"])
    agent = guest.wait_agent()[0]
    time.sleep(1.5)
    fds = {}
    for fd in os.listdir(f"/proc/{agent}/fd"):
        try:
            fds[fd] = os.readlink(f"/proc/{agent}/fd/{fd}")
        except OSError:
            pass
    tables = [fd for fd, what in fds.items() if what.startswith("/memfd:")]
    # SEAL 1, SHRINK 2, GROW 4, WRITE 8
    check("4.4 tables are sealed against every change", tables and all(
        seals(f"/proc/{agent}/fd/{fd}") & 15 == 15 for fd in tables), fds)
    mapped = [line.split() for line in open(f"/proc/{host.pid}/maps") if "memfd:" in line]
    regions = [m for m in mapped if "memfd:deepprof" in m[-2] and m[1].startswith("rw")]
    foreign = [m for m in mapped if m not in regions and m[1] != "r--s"]
    check("4.4 the host maps tables read-only", not foreign, foreign)
    check("4.4 and a region", regions, mapped)
    ranges = [m[0] for m in regions]
    for m in ranges:
        path = f"/proc/{host.pid}/map_files/{m}"
        check("4.4 a region cannot be cut", seals(path) & 3 == 3, seals(path))
    memory = b""
    with open(f"/proc/{host.pid}/mem", "rb") as mem:
        for m in ranges:
            low, high = (int(x, 16) for x in m.split("-"))
            mem.seek(low)
            memory += mem.read(high - low)
    check("5.7 the region is the one we look at", b"127.0.0.1:9" in memory)
    check("5.7 the region holds no secret", token.encode() not in memory)
    check("5.7 nor the agent's command line", token not in open(f"/proc/{agent}/cmdline").read())
    check("5.7 nor its environment", token not in open(f"/proc/{agent}/environ").read())
    said = host.communicate()
    check("5.7 nor what is said", token.encode() not in said[0] + said[1], said)
    guest.remove()


for part in (keys, unreadable_hosts, squatters, farewell, death, exchange):
    only = os.environ.get("AGENT_RULES_ONLY")
    if not only or part.__name__ in only.split(","):
        part()
done()
