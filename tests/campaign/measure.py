# SPDX-License-Identifier: Apache-2.0
"""Runs a program without and with deepprof and says what the profiles hold and whether anything differed."""
import glob
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import time

import pprof_reader

SOURCE = os.environ["DEEPPROF_SOURCE"]
BUILD = os.environ["DEEPPROF_BUILD"]
LIBRARY = os.path.join(BUILD, "libdeepprof.so")
AGENT = os.path.join(BUILD, "deepprof-agent")
# The kernel looks at CPU timers once a jiffy, so a tick cannot come more often than CONFIG_HZ; the overrun
# of each says how many periods it stands for.
RATE = 1000


def region_version():
    with open(os.path.join(SOURCE, "base", "region.h"), encoding="utf-8") as file:
        return int(re.search(r"DP_REGION_VERSION = (\d+)", file.read())[1])


class Agent:
    """An agent for one run of a program, as `deepprof run` has one, but with a log and a file per process."""
    FINISH = 6  # enum dp_message_kind

    def __init__(self, folder):
        self.name = f"deepprof/campaign/{os.getpid()}/{time.monotonic_ns()}"
        self.log = os.path.join(folder, "agent.log")
        self.process = subprocess.Popen([AGENT, "--run", self.name], env={"DEEPPROF_AGENT_LOG": self.log}, cwd="/",
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("the agent does not listen")

    def connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect("\0" + self.name)
        return connection

    def finish(self):
        with self.connect() as connection:
            connection.settimeout(120)
            connection.send(struct.pack("=IIiIQ", self.FINISH, region_version(), os.getpid(), 0, 0))
            connection.recv(16)
        self.process.kill()
        usage = os.wait4(self.process.pid, 0)[2]
        self.process.returncode = 0
        return usage.ru_utime + usage.ru_stime


def plain_environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DEEPPROF_", "LD_PRELOAD"))}
    env.update(LC_ALL="C.UTF-8", TZ="UTC")
    return env


def profiled_environment(agent, profiles):
    env = plain_environment()
    env.update(LD_PRELOAD=LIBRARY, DEEPPROF_RUN_SOCKET=agent.name, DEEPPROF_RATE=str(RATE), DEEPPROF_VERIFY="1",
               DEEPPROF_OUTPUT=os.path.join(profiles, "%n-%p-%t.pb.gz"))
    return env


class Outcome:
    """What a run left: its output as others see it, and the CPU time of the whole tree by getrusage."""

    def __init__(self, status, stdout, stderr, cpu_s, wall_s):
        self.status, self.stdout, self.stderr, self.cpu_s, self.wall_s = status, stdout, stderr, cpu_s, wall_s


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def collect(process, started, before):
    """Waits for a process group leader; getrusage knows the CPU time of all that it waited for."""
    stdout, stderr = process.communicate(timeout=1200)
    return Outcome(process.returncode, stdout, stderr, children_cpu() - before, time.monotonic() - started)


def run_script(script, folder, env):
    started, before = time.monotonic(), children_cpu()
    process = subprocess.Popen(["/bin/bash", "-euo", "pipefail", "-c", script], cwd=folder, env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return collect(process, started, before)


def run_server(program, folder, env):
    """A server between its start and its orderly end; what its clients saw counts as its output."""
    with open(os.path.join(folder, "out"), "wb") as out, open(os.path.join(folder, "err"), "wb") as err:
        process = subprocess.Popen(program.command(folder), cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=err)
    started = time.monotonic()
    try:
        program.wait(folder)
        transcript = program.drive(folder)
    finally:
        process.send_signal(program.stop)
        # Its clients are our children too, so its own usage is asked for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    with open(os.path.join(folder, "out"), "rb") as out, open(os.path.join(folder, "err"), "rb") as err:
        return Outcome(process.returncode, out.read() + transcript, err.read(), usage.ru_utime + usage.ru_stime,
                       time.monotonic() - started)


class Figures:
    """Sums over all profiles of a run."""

    def __init__(self, folder):
        self.processes = self.samples = self.weight_ns = self.lost_ns = 0
        self.verified = self.mismatched = self.short = 0
        self.cut = self.single = self.frames = self.unnamed = 0
        self.losses, self.names, self.unnamed_in, self.cut_by, self.single_at = {}, {}, {}, {}, {}
        pids = {}
        for path in glob.glob(os.path.join(folder, "*.pb.gz")):
            name, pid, _ = os.path.basename(path).rsplit("-", 2)
            before = self.weight_ns
            self.add(name, pprof_reader.Profile(path))
            pids[pid] = pids.get(pid, 0) + self.weight_ns - before
        self.processes = len(pids)
        self.long_ns = sum(weight for weight in pids.values() if weight >= 1e9)

    def add(self, name, profile):
        for stack, (count, weight) in profile.samples:
            self.samples += count
            self.weight_ns += weight
            self.names[name] = self.names.get(name, 0) + weight
            real = [frame for frame in stack if frame[1] != "[deepprof]"]
            if len(real) < len(stack):
                self.cut += weight
                self.cut_by[stack[-1][0]] = self.cut_by.get(stack[-1][0], 0) + weight
            if len(real) == 1:
                self.single += weight
                where = f"{name}: {real[0][0] or real[0][1]}"
                self.single_at[where] = self.single_at.get(where, 0) + weight
            self.frames += weight * len(real)
            for function, path in real:
                if function is None:
                    self.unnamed += weight
                    self.unnamed_in[path] = self.unnamed_in.get(path, 0) + weight
        for comment in profile.comments:
            if found := re.fullmatch(r"verify total=(\d+) mismatched=(\d+) short_copies=(\d+)", comment):
                self.verified += int(found[1])
                self.mismatched += int(found[2])
                self.short += int(found[3])
            if found := re.fullmatch(r"deepprof_loss (\w+)=(\d+) weight_ns=(\d+)", comment):
                count, lost = self.losses.get(found[1], (0, 0))
                self.losses[found[1]] = (count + int(found[2]), lost + int(found[3]))
                self.lost_ns += int(found[3])


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    os.chmod(folder, 0o777)
    return folder


def measure(program, folder, is_short=False):
    """{figure: value} of one program; its files stay in folder."""
    inputs, profiles = fresh(os.path.join(folder, "in")), fresh(os.path.join(folder, "profiles"))
    work = os.path.join(folder, "work")
    program.prepare(inputs, is_short)
    plain = program.run(fresh(work), plain_environment())
    agent = Agent(folder)
    profiled = program.run(fresh(work), profiled_environment(agent, profiles))
    agent_cpu_s = agent.finish()
    figures = Figures(profiles)
    same = {part: program.comparable(getattr(plain, part)) == program.comparable(getattr(profiled, part))
            for part in ("stdout", "stderr")}
    same["status"] = plain.status == profiled.status
    for part, outcome in (("plain", plain), ("profiled", profiled)):
        for stream in ("stdout", "stderr"):
            with open(os.path.join(folder, f"{part}.{stream}"), "wb") as file:
                file.write(getattr(outcome, stream))
    shutil.rmtree(work, ignore_errors=True)
    total = figures.weight_ns
    share = lambda part: part / total if total else 0.0
    return {
        "program": program.name, "version": program.version(), "status": profiled.status, "same": same,
        "processes": figures.processes, "samples": figures.samples, "verified": figures.verified,
        "mismatched": figures.mismatched, "short_copies": figures.short, "cpu_s": profiled.cpu_s,
        "plain_cpu_s": plain.cpu_s, "wall_s": profiled.wall_s, "plain_wall_s": plain.wall_s,
        "agent_cpu_s": agent_cpu_s, "weight_s": total / 1e9, "lost_s": figures.lost_ns / 1e9,
        "losses": figures.losses, "names": figures.names, "cut": share(figures.cut), "single": share(figures.single),
        "unnamed": figures.unnamed / figures.frames if figures.frames else 0.0,
        "unnamed_in": dict(sorted(figures.unnamed_in.items(), key=lambda item: -item[1])[:5]),
        "long": share(figures.long_ns), "cut_by": figures.cut_by, "single_at": dict(sorted(figures.single_at.items(), key=lambda item: -item[1])[:8]),
    }
