#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent's start and end as its hosts, their parents and their tools see them: not at all. Which test stands for
which rule: docs/AGENT-RULES.md."""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from agent_rules_support import HANG, HOST, Guest, check, exe, pids, result, status, text, wait
from support import done


def skip(claim, reason):
    print(f"skip {claim}: {reason}")


# ---- 1.1 ... 1.5: nobody's child, in no name space's way ----

def children_and_name_spaces():
    guest = Guest()
    for claim, case in (
            ("1.1 a plain waiter meets no stranger and no SIGCHLD", "sees_no_stranger"),
            ("1.1b a waiter for all kinds of children does not hang", "waits_for_all_kinds"),
            ("1.4 a pending time name space is left to the program", "time_name_space"),
            ("1.4 a pid name space entered by setns is left to the program", "enters_pid_name_space"),
            ("1.4 a user name space can be entered by setns", "enters_user_name_space"),
            ("1.5 a filter by syscall() before the first tick", "filters_by_number")):
        guest.same(claim, [HOST, case], {"rate": 1000})
    # The same with an agent that is there already: greeting is the first rare thing then.
    companion = guest.start([HOST, "lives"])
    guest.wait_agent()
    guest.same("1.5 a filter before the first tick, an agent at hand", [HOST, "filters_by_number"], {"rate": 1000})
    guest.same("1.4 a pending time name space, an agent at hand", [HOST, "time_name_space"])
    companion.communicate()
    guest.remove()


def heirs():
    """Hosts that would inherit an orphan."""
    guest = Guest()
    host = guest.start([HOST, "subreaper_lives"])
    agent = guest.wait_agent()[0]
    parent = int(status(agent)["PPid"])
    check("1.2 a subreaper's agent is its nanny's child, not its own", parent not in (1, host.pid), parent)
    check("1.2 the nanny is the host's child and shares its program",
          int(status(parent)["PPid"]) == host.pid and exe(parent) == exe(host.pid), status(parent).get("PPid"))
    host.communicate()
    check("1.2 the nanny leaves with its host", wait(lambda: parent not in pids(), 20))
    check("1.2 the agent leaves after a subreaper", guest.wait_no_agent())

    # The agent's end leaves no trace in a host that goes on.
    host = guest.start([HOST, "subreaper_lives"])
    agent = guest.wait_agent()[0]
    nanny = int(status(agent)["PPid"])
    os.kill(agent, signal.SIGKILL)
    check("1.2 a nanny whose agent is dead is gone or reaped when the next one comes",
          wait(lambda: guest.agents() and guest.agents()[0] != agent, 60) and wait(lambda: nanny not in pids(), 60),
          status(nanny).get("State"))
    out = host.communicate()
    check("1.2 a subreaper whose agent was killed ends as ever", (host.returncode, out[0]) == (0, b"alive\ndone\n"),
          (host.returncode, out))

    guest.remove()

    # An exec: the nanny must not keep 64 MiB of the old image, nor may its agent become a child of the new one.
    guest = Guest()
    host = guest.start([HOST, "subreaper_executes"])
    first = host.stdout.readline()
    check("1.2 a subreaper executes another program", first == b"alive\n", first)

    def rest():
        return [p for p in pids() if p != host.pid and exe(p) == exe(host.pid) and "subreaper_executes" in
                open(f"/proc/{p}/cmdline").read()]
    check("1.2 the old image had a nanny", rest())
    check("1.2 no nanny keeps the memory of an image that executed another", wait(lambda: not rest(), 20), rest())
    check("1.2 nor becomes the agent the new image's child", not any(
        status(a).get("PPid") == str(host.pid) for a in guest.agents()))
    host.communicate()
    check("1.2 each image's samples are delivered", wait(lambda: guest.profiles(), 20))
    guest.same("1.2 a subreaper that executes ends as ever", [HOST, "subreaper_executes"], stdin=subprocess.DEVNULL)
    guest.remove()


def init():
    guest = Guest()
    if subprocess.run(["unshare", "-pf", "--mount-proc", "true"]).returncode:
        return skip("1.3 the init of a pid name space", "no pid name spaces")
    command = ["unshare", "-pf", "--mount-proc", HOST, "burns", "600"]
    guest.same("1.2 an init ends as ever", command)
    check("1.3 the samples of an init that ends in order are delivered",
          wait(lambda: [p for p in guest.profiles() if "rule_host-1." in p], 10), guest.profiles())
    guest.remove()


# ---- 1.5: a filter that was there before us ----

# By x86-64 number, and whether the host itself makes it: then it runs unprofiled where the answer is death.
CALLS = {"memfd_create": (319, 0), "socket": (41, 0), "connect": (42, 0), "sendmsg": (46, 0), "clone": (56, 1),
         "fcntl": (72, 0), "ftruncate": (77, 0), "fallocate": (285, 0), "close_range": (436, 0), "setsid": (112, 0),
         "pidfd_open": (434, 0), "capget": (125, 0), "getsockopt": (55, 0), "munlock": (150, 0), "dup3": (292, 0),
         "prlimit64": (302, 1), "wait4": (61, 1), "readlinkat": (267, 1), "madvise": (28, 1),
         "timer_create": (222, 1), "timer_settime": (223, 1), "timer_delete": (226, 1), "gettid": (186, 1),
         "getpid": (39, 1), "geteuid": (107, 1), "tgkill": (234, 1), "process_vm_readv": (310, 1), "prctl": (157, 1),
         "getcwd": (79, 1), "nanosleep": (35, 1), "rt_sigtimedwait": (128, 1)}
LINE = "deepprof: a seccomp filter forbids"
NO_TIMER = "deepprof: the kernel refuses a timer"  # it does: EPERM or ENOSYS


def earlier_filters():
    if os.uname().machine != "x86_64":
        return skip("1.5 an earlier filter", "numbers of x86-64")
    guest = Guest()
    program = [HOST, "burns", "150"]
    env = guest.environment()
    env["RULE_PRELOAD"] = env.pop("LD_PRELOAD")
    for action in ("kill", "trap", "1", "38"):
        is_death = action in ("kill", "trap")
        broken, silent = [], []
        for name, (number, is_hosts) in CALLS.items():
            if is_death and name == "clone":
                continue  # what the trial itself needs: see docs/AGENT-RULES.md
            filtered = [HOST, "behind_filter", action, str(number)] + program
            plain = guest.plain(filtered)
            profiled = result(subprocess.run(filtered, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                             timeout=HANG))
            is_told = profiled[2].startswith(LINE) and profiled[2].count("\n") == 1
            is_refused = not is_death and name in ("timer_create", "timer_settime", "gettid")
            may_say = LINE if is_hosts and is_death else NO_TIMER if is_refused else None
            if plain[:2] != profiled[:2] or (profiled[2] and not (
                    may_say and profiled[2].startswith(may_say) and profiled[2].count("\n") == 1)):
                broken.append((name, plain, profiled))
            if is_hosts and is_death and plain[0] == 0 and not is_told:
                silent.append(name)
        check(f"1.5 behind an earlier filter that answers {action} to one of {len(CALLS)} calls the program lives",
              not broken, broken)
        check(f"1.5 where {action} forbids what the program's own process needs, one line says so", not silent, silent)
    guest.wait_no_agent()
    guest.forget()
    filtered = [HOST, "behind_filter", "kill", "164", HOST, "burns", "500"]  # settimeofday: nobody misses it
    subprocess.run(filtered, env=env, timeout=HANG, stdout=subprocess.DEVNULL)
    check("1.5 behind an earlier filter that forbids none of them it is profiled", wait(guest.profiles, 10))
    guest.remove()


# ---- 1.6: tools ----

def tools():
    guest = Guest()
    log = os.path.join(guest.folder, "log")
    if not shutil.which("strace"):
        return skip("1.6 strace", "no strace")
    done_ = subprocess.run(["strace", "-f", "-o", log, "env"] +
                           [f"{k}={v}" for k, v in guest.environment().items() if k.startswith(("DEEP", "LD_"))] +
                           [HOST, "burns", "500"], env=guest.environment(False), stdout=subprocess.PIPE, timeout=HANG)
    seen = open(log).read()
    tracees = {line.split()[0] for line in seen.splitlines()}
    check("1.6 strace -f ends with the program's status", (done_.returncode, done_.stdout) == (0, b"done\n"))
    check("1.6 strace -f sees one process", len(tracees) == 1 and "deepprof-agent" not in
          "".join(line for line in seen.splitlines() if "execve" in line), tracees)
    check("1.6 the traced program had an agent", guest.agents() or guest.profiles())
    guest.wait_no_agent()
    if not shutil.which("gdb"):
        return skip("1.6 gdb", "no gdb")
    for mode in ("on", "off"):
        answer = {}
        for preload in (False, True):
            settings = [["-ex", f"set environment {k} {v}"] for k, v in guest.environment(preload).items()
                        if preload and k.startswith(("DEEPPROF_OUT", "LD_"))]
            out = text("gdb", "-nx", "-batch", "-ex", f"set detach-on-fork {mode}", "-ex", "set startup-with-shell off",
                       "-ex", "handle SIGPROF nostop noprint pass", *sum(settings, []), "-ex", "run",
                       "-ex", "info inferiors", "--args", HOST, "burns", "500")
            answer[preload] = re.sub(r"process \d+", "process N", out)
        check(f"1.6 gdb sees one process, detach-on-fork {mode}", answer[False] == answer[True], answer)
    guest.remove()


# ---- 1.7, 1.9: what the agent has of its starter ----

def inheritance():
    guest = Guest()
    folder = tempfile.mkdtemp(prefix="deepprof-rule-")
    script = (f"cd {folder}; umask 077; ulimit -S -n 64; ulimit -S -f 100; ulimit -S -t 100; ulimit -S -u 5000; "
              f"ulimit -S -c 10; echo 500 >/proc/self/oom_score_adj; trap '' HUP INT USR1; exec 7</etc/passwd; "
              f"exec env HOME=/nowhere SECRET=hidden '{HOST}' lives")
    starter = ["taskset", "-c", "0", "nice", "-n", "7", "chrt", "-b", "0", "setsid", "sh", "-c", script]
    host = guest.start(starter)
    pid = guest.wait_agent()[0]
    time.sleep(0.3)  # past its first act

    def stat():
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    seen = status(pid)
    links = {os.path.basename(p): os.readlink(p) for p in glob.glob(f"/proc/{pid}/fd/*")}
    limits = {line[:26].strip(): line[26:].split()[:2]
              for line in open(f"/proc/{pid}/limits").read().splitlines()[1:]}
    check("1.7 no signal is blocked in the agent", int(seen["SigBlk"], 16) == 0, seen["SigBlk"])
    check("1.7 the agent ignores PIPE, HUP and INT alone", int(seen["SigIgn"], 16) == 1 << 12 | 1 | 2, seen["SigIgn"])
    check("1.9 its working directory is /", os.readlink(f"/proc/{pid}/cwd") == "/")
    check("1.9 its umask is the usual one", seen["Umask"].strip() == "0022", seen["Umask"])
    check("1.9 its nice value is 0", stat()[16] == "0", stat()[16])
    check("1.9 its policy is the usual one", stat()[38] == "0", stat()[38])
    check("1.9 it may run on each CPU", len(os.sched_getaffinity(pid)) == os.cpu_count(), os.sched_getaffinity(pid))
    check("1.9 soft limits are the hard ones", all(limits[k][0] == limits[k][1] for k in (
        "Max open files", "Max file size", "Max cpu time", "Max processes", "Max address space", "Max data size")),
          limits)
    check("1.9 it leaves no core file", limits["Max core file size"][0] == "0", limits["Max core file size"])
    check("1.9 it is no better protected from the OOM killer than others",
          int(open(f"/proc/{pid}/oom_score_adj").read()) >= 0)
    check("1.13 a session of its own, no terminal", stat()[3] == str(pid) and stat()[4] == "0", stat()[:6])
    check("1.13 0 to 2 are /dev/null", [links.get(n) for n in "012"] == ["/dev/null"] * 3, links)
    foreign = [v for k, v in links.items() if not re.match(
        r"/dev/null|socket:|anon_inode:|/memfd:deepprof|pipe:\[", v)]
    check("1.9 it holds none of the host's descriptors", not foreign and not any("passwd" in v for v in links.values()),
          foreign)
    check("5.7 none of the host's environment", open(f"/proc/{pid}/environ").read() == "")
    host.communicate()
    guest.remove()

    # A host that the OOM killer must spare does not make its agent such a process.
    guest = Guest()
    host = guest.start(["sh", "-c", f"echo -900 >/proc/self/oom_score_adj && exec '{HOST}' lives"])
    if host.stdout.readline() == b"alive\n":
        pid = guest.wait_agent()[0]
        check("1.9 a host that is spared by the OOM killer has an agent that is not",
              wait(lambda: int(open(f"/proc/{pid}/oom_score_adj").read()) >= 0, 5))
    else:
        skip("1.9 a host that is spared by the OOM killer", "it takes CAP_SYS_RESOURCE to be spared")
    host.communicate()
    guest.remove()
    shutil.rmtree(folder)


# ---- 1.8: one starter ----

def one_at_a_time():
    guest = Guest()
    host = guest.start([HOST, "ticks_in_threads", "32", "300"], {"rate": 1000})
    most = 0
    while host.poll() is None:
        most = max(most, len(guest.agents()))
    check("1.8 many threads that tick at once start one agent", most == 1, most)
    check("1.8 and end as ever", host.communicate()[0] == b"done\n" and host.returncode == 0)
    guest.wait_no_agent()
    hosts = [guest.start([HOST, "lives"]) for _ in range(24)]
    wait(lambda: guest.agents(), 20)
    time.sleep(2)  # who lost the race has left
    check("1.8 many processes that start at once share one agent", len(guest.agents()) == 1, guest.agents())
    out = [h.communicate()[0] for h in hosts]
    check("1.8 and each ends as ever", out == [b"alive\ndone\n"] * 24 and not any(h.returncode for h in hosts))
    check("1.8 and each is profiled", wait(lambda: len([p for p in guest.profiles()]) == 25, 20),
          len(guest.profiles()))
    guest.remove()


# ---- 1.10: no exec ----

def no_exec():
    program = [HOST, "burns", "400"]
    for claim, spoil in (
            ("missing", lambda path: os.unlink(path)),
            ("not executable", lambda path: os.chmod(path, 0o644)),
            ("no program", lambda path: open(path, "w").write("nonsense\n")),
            ("a program that dies at once", lambda path: shutil.copy("/bin/false", path)),
            ("a program for another loader", lambda path: open(path, "r+b").write(b"\x7fELF\x02\x01\x01" + bytes(300)))):
        guest = Guest()
        spoil(guest.agent)
        guest.same(f"1.10 the agent's file is {claim}: the program lives", program)
        guest.same(f"1.10 the agent's file is {claim}: a subreaper lives", [HOST, "subreaper_executes"],
                   stdin=subprocess.DEVNULL)
        guest.remove()
    guest = Guest()
    mounted = ["unshare", "-m", "sh", "-c", f"mount --bind '{guest.agent}' '{guest.agent}' && "
               f"mount -o remount,bind,noexec '{guest.agent}' && exec '{HOST}' burns 400"]
    if guest.plain(mounted)[0] == 0:
        guest.same("1.10 the agent lies on a noexec mount: the program lives", mounted)
    root = chroot_folder(guest)
    ended = guest.profiled(["chroot", root, "/rule_host", "burns", "400"], {"output": "/x.pb.gz"})
    check("1.10 a root directory without /proc and without the agent: the program lives, told once",
          ended[:2] == (0, "done\n") and ended[2].count("\n") == 1 and
          ended[2].startswith("deepprof: there is no /proc here"), ended)
    check("1.10 no agent comes of it", not guest.agents())
    shutil.rmtree(root)
    guest.remove()


def chroot_folder(guest):
    """A root directory with the program and the library, nothing else. The library has the name it has outside."""
    root = tempfile.mkdtemp(prefix="deepprof-rule-")
    os.chmod(root, 0o755)
    shutil.copy(HOST, root)
    os.makedirs(root + guest.folder)
    shutil.copy(guest.library, root + guest.folder)
    for path in re.findall(r"(/\S+) \(0x", text("ldd", HOST)):
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.realpath(path), root + path)
    return root


# ---- 1.11: limits on processes ----

class Cgroup:
    """A group of a controller (version 1's layout), or None where there is none."""

    @staticmethod
    def new(controller):
        base = "/sys/fs/cgroup/" + controller
        if not os.access(base + "/cgroup.procs", os.W_OK):
            return None
        path = f"{base}/deepprof-rule-{os.getpid()}"
        try:
            os.mkdir(path)
        except OSError:
            return None
        return path


def inside(group, command):
    return ["sh", "-c", f"echo $$ >{group}/cgroup.procs && exec \"$@\"", "sh"] + command


def process_limits():
    group = Cgroup.new("pids")
    if not group:
        return skip("1.11 pids.max", "no cgroup of the pids controller can be made")
    guest = Guest()
    try:
        for most in (1, 2, 3, 4, 6, 12):
            open(group + "/pids.max", "w").write(str(most))
            guest.same(f"1.11 pids.max = {most}: the program's processes all come to be",
                       inside(group, [HOST, "fills_process_limit", str(most - 1)]))
            wait(lambda: open(group + "/pids.current").read() == "0\n", 20)
        open(group + "/pids.max", "w").write("max")
        host = guest.start(inside(group, [HOST, "lives"]))
        check("1.11 without a limit there is an agent", guest.wait_agent())
        check("1.9 it is in its host's cgroup", str(guest.agents()[0]) in open(group + "/cgroup.procs").read().split())
        other = guest.start([HOST, "lives"])
        check("2.1 another cgroup, another agent", wait(lambda: len(guest.agents()) == 2, 30), guest.agents())
        other.communicate()
        end = time.time()
        host.communicate()
        check("1.14 a cgroup is empty soon after its last program",
              wait(lambda: not open(group + "/cgroup.procs").read().split(), 20))
        print(f"     empty after {time.time() - end:.2f} s")
        check("1.14 within the linger of one second and what a loaded machine adds", time.time() - end < 5)
    finally:
        wait(lambda: not open(group + "/cgroup.procs").read().split(), 20)
        os.rmdir(group)
    guest.remove()
    # By user: an agent counts like any other process of his.
    guest = Guest()
    guest.same("1.11 RLIMIT_NPROC = 1: the program lives",
               ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "prlimit", "--nproc=1",
                HOST, "burns", "400"])
    guest.remove()


# ---- 1.13, 1.14: nobody waits for the agent ----

def endings():
    guest = Guest()
    for claim, command in (("a pipe", f"'{HOST}' burns 200 | cat"), ("$( )", f"echo $('{HOST}' burns 200)"),
                           ("nohup", f"nohup '{HOST}' burns 200 </dev/null 2>/dev/null | cat"),
                           ("a background job", f"'{HOST}' burns 200 & wait")):
        guest.same(f"1.13 {claim} ends with the program", ["sh", "-c", command])
    guest.wait_no_agent()
    host = guest.start([HOST, "lives"])
    agent = guest.wait_agent()[0]
    time.sleep(0.5)
    os.kill(agent, signal.SIGTERM)
    time.sleep(1)
    check("1.14 an agent that is asked to end serves its live hosts on", guest.agents() == [agent], guest.agents())
    host.communicate()
    check("1.14 it leaves when they have", guest.wait_no_agent(20))
    check("1.14 and has delivered", [p for p in guest.profiles() if f"-{host.pid}." in p], guest.profiles())
    # Without one: at once, and with a status that no init takes for a crash.
    host = guest.start([HOST, "burns", "1500"])
    agent = guest.wait_agent()[0]
    witness = subprocess.Popen(["strace", "-qq", "-e", "trace=exit_group", "-e", "signal=none", "-p", str(agent)],
                               stderr=subprocess.PIPE)
    host.communicate()
    os.kill(agent, signal.SIGTERM)
    check("1.14 asked to end without a host it does", guest.wait_no_agent(20))
    said = witness.communicate()[1].decode()
    check("1.2 an agent's exit status is 0", "exit_group(0)" in said, said)
    guest.remove()


for part in (children_and_name_spaces, heirs, init, earlier_filters, tools, inheritance, one_at_a_time, no_exec,
             process_limits, endings):
    only = os.environ.get("AGENT_RULES_ONLY")
    if not only or part.__name__ in only.split(","):
        part()
done()
