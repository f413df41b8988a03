#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the guest maps, signals and is loaded into: forks, limits, core files, threads, settings, other libraries. Which
test stands for which rule: docs/AGENT-RULES.md."""
import glob
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from agent_rules_support import HANG, HOST, Guest, check, exe, pids, result, status, text, top, wait
from support import BUILD, done


def skip(claim, reason):
    print(f"skip {claim}: {reason}")


# ---- 3 ----

def forks():
    guest = Guest()
    guest.same("3.2 hooks in a child of a raw clone or _Fork", [HOST, "hooks_in_raw_child"], {"rate": 1000})
    guest.remove()


# ---- 4 ----

def limits():
    guest = Guest()
    for claim, words, is_profiled in (("soft, 0", ["0", "soft"], True), ("soft, 100", ["100", "soft"], True),
                                      ("hard, 0", ["0"], False), ("hard, 100", ["100"], False)):
        guest.forget()
        guest.same(f"4.1 RLIMIT_FSIZE {claim}: the program lives", [HOST, "file_size_limit"] + words)
        if is_profiled:
            check(f"4.1 RLIMIT_FSIZE {claim}: it is profiled", wait(guest.profiles, 20))
        guest.wait_no_agent()
    guest.same("4.5 mlockall(MCL_FUTURE): nothing of the guest's is locked", [HOST, "locks_memory"])
    poor = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "prlimit", "--memlock=8000000"]
    guest.same("4.5 mlockall(MCL_FUTURE) with little to lock", poor + [HOST, "locks_memory"])

    host = guest.start([HOST, "lives"], {"rate": 1000})
    wait(lambda: guest.serves(host), 30)
    pieces = smaps(host.pid, "memfd:deepprof", "rw-s")
    time.sleep(3)  # of ticks, whose rings wrap meanwhile
    later = smaps(host.pid, "memfd:deepprof", "rw-s")
    check("4.2 what ticks touch was there before", pieces and pieces[0]["Rss"] != "0 kB" and
          [p["Rss"] for p in pieces] == [p["Rss"] for p in later], (pieces, later))
    check("4.5 a region comes in pieces of 256 KiB, without a reserve", pieces and all(
        p["Size"] == "256 kB" for p in pieces), pieces)
    check("4.5, 3.2 kept out of core files and forked children", pieces and all(
        {"dd", "dc"} <= set(p["VmFlags"].split()) for p in pieces), pieces)
    host.communicate()
    guest.remove()


def smaps(pid, name, rights):
    found, current = [], None
    for line in open(f"/proc/{pid}/smaps"):
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            current = {} if name in line and rights in line else None
            if current is not None:
                found.append(current)
        elif current is not None:
            key, value = line.split(":", 1)
            current[key] = value.strip()
    return found


def core_file():
    """The kernel's own core file, where it writes one beside the program."""
    if open("/proc/sys/kernel/core_pattern").read().strip() != "core":
        return skip("4.5 a core file", "core_pattern is not 'core'")
    guest = Guest()
    sizes = {}
    for preload in (False, True):
        folder = tempfile.mkdtemp(prefix="deepprof-rule-")
        ended = result(subprocess.run([HOST, "dumps_core"], env=guest.environment(preload), cwd=folder,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=HANG))
        cores = glob.glob(folder + "/core*")
        sizes[preload] = (ended, sum(os.stat(c).st_blocks * 512 for c in cores), len(cores))
        if preload and cores:
            check("4.5 a core file holds nothing of the region",
                  b"dpregion" not in open(cores[0], "rb").read())
        shutil.rmtree(folder)
    if not sizes[False][2]:
        return skip("4.5 a core file", "none is written here")
    check("4.5 a crash is a crash as ever", sizes[True][0] == sizes[False][0], sizes)
    check("4.5 one core file, the host's", sizes[True][2] == 1, sizes)
    check("4.5 not more than half a MiB larger", sizes[True][1] - sizes[False][1] < 512 * 1024, sizes)
    print(f"     {sizes[False][1] // 1024} KiB without us, {sizes[True][1] // 1024} with")
    guest.remove()


# ---- 5 ----

def signals_and_threads():
    guest = Guest()
    guest.same("5.5 a single-threaded program stays so, its first descriptor is 3", [HOST, "stays_single_threaded"])
    check("5.5 it was profiled", wait(guest.profiles, 20))
    guest.same("5.2 no sleep or wait is interrupted", [HOST, "is_never_interrupted"], {"rate": 1000})
    guest.wait_no_agent()
    host = guest.start([HOST, "ticks_in_threads", "4", "1500"])
    agent = guest.wait_agent()[0]
    if shutil.which("strace"):
        log = os.path.join(guest.folder, "signals")
        witness = subprocess.Popen(["strace", "-qq", "-f", "-o", log, "-p", str(agent), "-e",
                                    "trace=kill,tkill,tgkill,rt_sigqueueinfo,rt_tgsigqueueinfo,pidfd_send_signal"],
                                   stderr=subprocess.DEVNULL)
        host.communicate()
        guest.wait_no_agent()
        witness.wait()
        sent = [line for line in open(log) if "(" in line and ", 0)" not in line and "exited" not in line]
        check("5.1 the agent sends nobody a signal", not sent, sent[:5])
    host.communicate()
    guest.remove()


def foreign_libc():
    child = os.path.join(BUILD, "tests", "torture", "child_musl")
    if not os.path.exists(child):
        return skip("5.6 a musl program", "no musl-gcc")
    guest = Guest()
    folder = tempfile.mkdtemp(prefix="deepprof-rule-")
    source = os.path.join(folder, "musl.c")
    open(source, "w").write('#include <stdio.h>\n#include <time.h>\nint main(void) { volatile unsigned long x = 0;\n'
                            'while (clock() < 600000) for (int i = 0; i < 10000; i++) x += i;\nputs("done"); '
                            'return 7; }\n')
    program = os.path.join(folder, "musl")
    if subprocess.run(["musl-gcc", "-O1", "-o", program, source]).returncode:
        return skip("5.6 a musl program", "musl-gcc does not work")
    guest.same("5.6 a dynamic musl program runs and ends as ever", [program])
    profile = wait(guest.profiles, 20)
    check("5.6 the library works in it", profile and "main" in top(profile[0]))
    shutil.rmtree(folder)
    guest.remove()


# ---- beside the rules: settings and privileges ----

def turned_off():
    guest = Guest()
    off = {"enabled": "false"}
    guest.same("off: the program runs as ever", [HOST, "burns", "400"], off)
    host = guest.start([HOST, "lives"], off)
    host.stdout.readline()
    time.sleep(1)
    check("off: no timer", open(f"/proc/{host.pid}/timers").read() == "")
    check("off: no agent, no region", not guest.agents() and "memfd" not in open(f"/proc/{host.pid}/maps").read())
    host.communicate()
    check("off: no profile", not guest.profiles())
    guest.remove()


def setuid():
    """A program that is linked to the library and setuid: LD_PRELOAD would not get there."""
    guest = Guest()
    program = os.path.join(guest.folder, "setuid_host")
    source = os.path.join(os.path.dirname(__file__), "rule_host.c")
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-w", "-I", os.environ["DEEPPROF_SOURCE"], "-o", program, source,
                    "-Wl,--no-as-needed", guest.library, "-Wl,-rpath," + guest.folder, "-pthread"], check=True)
    os.chmod(program, 0o4755)
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    env = {**guest.environment(enabled="true"), "LD_PRELOAD": ""}  # a linked library waits for that word
    host = subprocess.Popen(as_nobody + [program, "lives"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    host.stdout.readline()
    time.sleep(1)
    maps = open(f"/proc/{host.pid}/maps").read()
    check("setuid: the library is loaded", guest.library in maps)
    check("setuid: it is root's process of nobody's", status(host.pid)["Uid"].split()[:2] == ["65534", "0"])
    check("setuid: no timer", open(f"/proc/{host.pid}/timers").read() == "")
    check("setuid: no agent, no region", not guest.agents() and "memfd" not in maps)
    out = host.communicate()
    check("setuid: it ends as ever", (out, host.returncode) == ((b"done\n", b""), 0), out)
    os.chmod(program, 0o755)
    ended = result(subprocess.run(as_nobody + [program, "burns", "500"], env=env, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=HANG))
    check("setuid: without the bit the same program is profiled", ended == (0, "done\n", "") and
          wait(guest.profiles, 20), ended)
    guest.remove()


def in_a_thread():
    """agent=thread: the same promises where they can be kept."""
    guest = Guest(agent="thread")
    for case in (["burns", "400"], ["sees_no_stranger"], ["waits_for_all_kinds"], ["ticks_in_threads", "8", "200"],
                 ["hooks_in_raw_child"], ["is_never_interrupted"],
                 ["subreaper_executes"]):
        guest.same(f"thread: {' '.join(case)} as ever", [HOST] + case, stdin=subprocess.DEVNULL)
    check("thread: no agent process", not guest.agents())
    check("thread: profiles are delivered", wait(lambda: len(guest.profiles()) >= 5, 10), guest.profiles())
    # The thread lives under the program's limits.
    ended = guest.profiled([HOST, "file_size_limit", "0", "soft"])
    check("thread: RLIMIT_FSIZE 0: the program lives, one line tells of the profile", ended[:2] == (0, "done\n") and
          ended[2].count("\n") == 1 and "File too large" in ended[2], ended)
    # Where no thread can be: a process, and a line that says so.
    ours = [f"{k}={v}" for k, v in guest.environment().items() if k.startswith(("LD_PRELOAD", "DEEPPROF_"))]
    poor = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "prlimit", "--nproc=1", "env"]
    ended = guest.plain(poor + ours + [HOST, "burns", "400"])
    check("thread: where none can be started the program lives", ended[:2] == (0, "done\n"), ended)
    check("thread: and one line says what is done instead", ended[2].count("\n") == 1 and
          ended[2].startswith("deepprof: agent=thread"), ended[2])
    os.unlink(os.path.join(guest.folder, "libdeepprof-agent.so"))
    ended = guest.profiled([HOST, "burns", "400"])
    check("thread: without its library the program lives, told once", ended[:2] == (0, "done\n") and
          ended[2].count("\n") == 1, ended)
    guest.remove()


for part in (forks, limits, core_file, signals_and_threads, foreign_libc, turned_off, setuid, in_a_thread):
    only = os.environ.get("AGENT_RULES_ONLY")
    if not only or part.__name__ in only.split(","):
        part()
done()
