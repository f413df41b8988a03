# SPDX-License-Identifier: Apache-2.0
"""What a program of the campaign is."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

import measure


class Script:
    """Commands for bash, run in an empty folder beside ../in, where prepare() has put what they work on.

    Their standard output, error output and exit status must be the same with and without deepprof, so commands
    print sums of what they made. `changing` matches what differs between any two runs (times, pids). `short` prepares
    for the short run, which only has programs that every build machine has."""

    def __init__(self, name, script, needs, version, prepare=None, changing=None, short=None):
        self.name, self.script, self.needs, self._version = name, script, needs, version
        self._prepare, self.changing, self.short = prepare, changing, short

    def is_here(self):
        return all(shutil.which(need) for need in self.needs)

    def version(self):
        done = subprocess.run(self._version, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              stdin=subprocess.DEVNULL, text=True)
        return done.stdout.strip().splitlines()[0].strip() if done.stdout.strip() else "?"

    def prepare(self, folder, is_short=False):
        prepare = self.short if is_short else self._prepare
        if prepare:
            prepare(folder)

    def run(self, folder, env):
        return measure.run_script(self.script, folder, env)

    def comparable(self, output):
        if self.changing and isinstance(output, bytes):
            return re.sub(self.changing, b"#", output)
        return output


class Server(Script):
    """A server in the foreground and what its clients do; drive() returns what they saw."""
    stop = signal.SIGTERM

    def __init__(self, name, needs, version, changing=None):
        super().__init__(name, None, needs, version, changing=changing)
        self.port = free_port()

    def run(self, folder, env):
        return measure.run_server(self, folder, env)

    def wait(self, folder):
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not listen")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def client(*command, folder=None, env=None):
    """The output of a client, which runs without deepprof."""
    return subprocess.run(command, cwd=folder, env=env or measure.plain_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=True).stdout


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def words(folder, name="words", lines=100000, seed=1):
    """Text like text: few words often, many seldom."""
    chance = random.Random(seed)
    vocabulary = ["".join(chance.choices("etaoinshrdlucmfwypvbgkqjxz", k=chance.randint(2, 11))) for _ in range(20000)]
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    write(folder, name, "".join(
        " ".join(chance.choices(vocabulary, weights, k=chance.randint(4, 14))) + f" {chance.randrange(10**9)}\n"
        for _ in range(lines)))


def binary(folder, name="binary", size=8 << 20):
    """Bytes as compressors meet them: compilers are on every machine that builds us."""
    path = subprocess.run(["gcc", "-print-prog-name=cc1"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with open(path, "rb") as source, open(os.path.join(folder, name), "wb") as file:
        file.write(source.read(size))
