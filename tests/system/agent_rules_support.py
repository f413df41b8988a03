# SPDX-License-Identifier: Apache-2.0
"""What the tests of the agent's rules share: an installation of its own for each (so an agent of its own), hosts with
and without it, and what /proc says of both."""
import ctypes
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from support import BUILD, COMMAND, check, run, wait_for  # noqa: F401

HOST = os.path.join(BUILD, "tests", "system", "rule_host")
HANG = 120  # seconds; a bound against hanging, not a measure


class Guest:
    """A copy of the library and its agent in a folder of their own: nobody else's agent has this rendezvous."""

    def __init__(self, **settings):
        self.folder = tempfile.mkdtemp(prefix="deepprof-rule-")
        os.chmod(self.folder, 0o755)
        for name in ("libdeepprof.so", "deepprof-agent", "libdeepprof-agent.so"):
            shutil.copy(os.path.join(BUILD, name), self.folder)
        self.library = os.path.join(self.folder, "libdeepprof.so")
        self.agent = os.path.join(self.folder, "deepprof-agent")
        self.out = os.path.join(self.folder, "out")
        os.mkdir(self.out)
        os.chmod(self.out, 0o1777)
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_") and k != "LD_PRELOAD"}
        self.settings = {"output": os.path.join(self.out, "%n-%p.pb.gz"), **settings}

    def environment(self, preload=True, **settings):
        env = {**self.environ, "LC_ALL": "C"}
        if preload:
            env["LD_PRELOAD"] = self.library
            env.update({"DEEPPROF_" + k.upper(): str(v) for k, v in {**self.settings, **settings}.items()})
        return env

    def plain(self, args, **more):
        return result(run(args, env=self.environment(False), **more))

    def profiled(self, args, settings={}, **more):
        return result(run(args, env=self.environment(**settings), **more))

    def start(self, args, settings={}, **more):
        return subprocess.Popen(args, env=self.environment(**settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **more)

    def same(self, claim, args, settings={}, **more):
        """The claim: what it prints, on both streams, and how it ends is the same with us as without."""
        plain, profiled = self.plain(args, **more), self.profiled(args, settings, **more)
        if plain[0] == 77:
            print(f"skip {claim}: {plain[1].strip()}")
            return None
        check(claim, plain == profiled, f"plain {plain}, profiled {profiled}")
        return profiled

    def agents(self):
        """Processes whose program is this installation's agent."""
        return [pid for pid in pids() if exe(pid) == self.agent]

    def wait_agent(self, seconds=30):
        return wait(lambda: self.agents(), seconds)

    def wait_no_agent(self, seconds=30):
        return wait(lambda: not self.agents(), seconds)

    def serves(self, host, but=()):
        """The agent, not one of but, that has a region of this host mapped."""
        inodes = {line.split()[4] for line in open(f"/proc/{host.pid}/maps")
                  if "rw-s" in line and "memfd:deepprof" in line}
        for agent in self.agents():
            if agent in but:
                continue
            try:
                maps = open(f"/proc/{agent}/maps").read().splitlines()
            except OSError:
                continue
            if any("rw-s" in line and line.split()[4] in inodes for line in maps):
                return agent
        return None

    def sockets(self):
        """Names (without the leading @) that the agents listen on."""
        inodes = set()
        for pid in self.agents():
            for link in glob.glob(f"/proc/{pid}/fd/*"):
                try:
                    target = os.readlink(link)
                except OSError:
                    continue
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        names = set()
        for line in open("/proc/net/unix").read().splitlines()[1:]:
            fields = line.split()
            if fields[6] in inodes and len(fields) > 7:
                names.add(fields[7][1:])
        return sorted(names)

    def profiles(self):
        return sorted(glob.glob(os.path.join(self.out, "*.pb.gz")))

    def forget(self):
        for path in self.profiles():
            os.unlink(path)

    def remove(self):
        wait(lambda: not self.agents(), 10)
        for pid in self.agents():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def result(done):
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def exe(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def status(pid):
    """/proc/PID/status as a dictionary; {} when it is gone."""
    try:
        text = open(f"/proc/{pid}/status").read()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def wait(is_true, seconds):
    end = time.time() + seconds
    while time.time() < end:
        found = is_true()
        if found:
            return found
        time.sleep(0.02)
    return is_true()


def text(*command):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_")}
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANG).stdout.decode()


def top(path):
    return run([COMMAND, "report", path, "--collapsed"]).stdout.decode()


def comments(path):
    return run([COMMAND, "report", path]).stdout.decode()


_libc = ctypes.CDLL(None, use_errno=True)


def seals(path):
    """F_GET_SEALS of a descriptor seen through /proc; -1 where it has none to tell."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return _libc.fcntl(fd, 1034)
    finally:
        os.close(fd)
