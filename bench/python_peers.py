# SPDX-License-Identifier: Apache-2.0
"""python_peers: what Python's other profilers cost the same program at the same rate, and how much they send.

A fixed piece of work, all CPU time counted: the program's, its profiler's beside it (deepprof's agent, py-spy) and what they start.
The peers are those of the virtual environments in BENCH_PEERS, or in ~/.cache/deepprof/peers:

    python3.11 -m venv ~/.cache/deepprof/peers/3.11 && ~/.cache/deepprof/peers/3.11/bin/pip install py-spy pyroscope-io ddtrace
"""
import glob
import http.server
import os
import re
import socketserver
import subprocess
import threading
import time

import measure as m

PROGRAM = """
import json, os, re, sys, threading, time
if os.environ.get("BENCH_PYROSCOPE"):
    import pyroscope
    kind, where = os.environ["BENCH_PYROSCOPE"].split()
    pyroscope.configure(application_name="bench", server_address=where,
                        cpu_implementation=getattr(pyroscope.ProfilerImplementation, kind))

def leaf(n):
    total = 0
    for i in range(n):
        total += i * i
    return total

def generator(n):
    for i in range(n):
        yield i ^ 5

def deep(n):
    return deep(n - 1) if n else sum(generator(300)) + leaf(600)

class Shape:
    def __init__(self, n):
        self.n = n
    def __lt__(self, other):
        return self.n < other.n

def once(i):
    deep(i % 40)
    sorted(Shape(j * 7919 % 101) for j in range(60))
    json.loads(json.dumps({"a": list(range(40)), "b": "x" * i}, default=str))
    re.sub("[0-9]", lambda match: match[0] * 2, "a1b2c3d4" * 8)

def work(count, share):
    for i in range(count):
        began = time.thread_time()
        once(i % 97)
        if share < 1:
            time.sleep((time.thread_time() - began) * (1 / share - 1))

threads, count, share = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
others = [threading.Thread(target=work, args=(count // threads, share)) for _ in range(threads - 1)]
for thread in others:
    thread.start()
work(count // threads, share)
for thread in others:
    thread.join()
"""


class Counter(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            size = 0
            while True:
                chunk = int(self.rfile.readline().split(b";")[0], 16)
                size += len(self.rfile.read(chunk))
                self.rfile.readline()
                if not chunk:
                    break
        else:
            size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        head = len(self.raw_requestline) + sum(len(k) + len(v) + 4 for k, v in self.headers.items()) + 2
        self.server.bytes_received += size + head
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/proto" if "push.v1" in self.path else "application/json")
        body = b"" if "push.v1" in self.path else b"{}"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET = do_POST

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    bytes_received = requests = 0


def serve():
    server = Server(("127.0.0.1", 0), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def variants_of(folder, url):
    """{name: (words before the program, environment)}"""
    binary = os.path.join(folder, "bin")
    plain = m.environment()
    found = {"plain": ([], plain), "plain again": ([], plain), "deepprof": ([], m.with_deepprof(100, server=url, output=""))}
    if glob.glob(os.path.join(folder, "lib", "*", "site-packages", "pyroscope")):
        for name, kind in (("pyroscope-io", "PySpy"), ("pyroscope-io, Stack", "Stack")):
            found[name] = ([], m.environment(BENCH_PYROSCOPE=f"{kind} {url}"))
    if os.path.exists(os.path.join(binary, "ddtrace-run")):
        found["ddtrace"] = ([os.path.join(binary, "ddtrace-run")], m.environment(
            DD_PROFILING_ENABLED="true", DD_TRACE_ENABLED="false", DD_TRACE_AGENT_URL=url, DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_REMOTE_CONFIGURATION_ENABLED="false", DD_PROFILING_MEMORY_ENABLED="false", DD_PROFILING_LOCK_ENABLED="false"))
    if os.path.exists(os.path.join(binary, "py-spy")):
        found["py-spy"] = ([os.path.join(binary, "py-spy"), "record", "-r", "100", "-f", "raw", "-o",
                            os.path.join(m.SCRATCH, "py-spy.out"), "--"], m.environment())
    return found


def cpu_of(folder, variant, threads, count, share=1.0):
    """CPU seconds of all that runs; the agent's too, which is nobody's child."""
    before, env = variant
    python = os.path.join(folder, "bin", "python")
    if env.get("LD_PRELOAD"):
        m.wait_for_no_agent()
        if m.agents():
            raise RuntimeError("other programs use this build's agent: what it does for them would be counted")
    used = m.cpu_of_child([*before, python, "-c", PROGRAM, str(threads), str(count), str(share)], env)
    if env.get("LD_PRELOAD"):
        time.sleep(0.3)
        used += sum(m.cpu_of(pid) or 0 for pid in m.agents())
    return used


def seconds_per_round(python):
    began = time.time()
    subprocess.run([python, "-c", PROGRAM, "1", "2000", "1"], check=True)
    return (time.time() - began) / 2000


def main():
    m.heading("python_peers: CPU of the same work, percent above plain, and bytes sent in a minute at a tenth of a core; 100 Hz")
    folders = os.environ.get("BENCH_PEERS", "").split(":") if os.environ.get("BENCH_PEERS") else \
        sorted(glob.glob(os.path.expanduser("~/.cache/deepprof/peers/*")))
    if not folders:
        print("  no peers: see the first lines of bench/python_peers.py")
    for folder in folders[:1] if m.IS_SHORT else folders:
        python = os.path.join(folder, "bin", "python")
        server, url = serve()
        version = re.sub(r"^Python ", "", subprocess.run([python, "-V"], stdout=subprocess.PIPE, check=True).stdout.decode().strip())
        variants = variants_of(folder, url)
        count = int(m.rounds(3, 0.5) / seconds_per_round(python))
        for threads in (1, 4):
            runs = m.in_turns(variants, m.rounds(7, 1), lambda name, v: cpu_of(folder, v, threads, count))
            for name in variants:
                if name != "plain":
                    more = [(a / b - 1) * 100 for a, b in zip(runs[name], runs["plain"])]
                    m.line(f"{version}, {threads} thread{'s' * (threads > 1)}, {name}", m.figure(more) + " %")
        seconds = m.rounds(60, 3)
        tenth = int(0.1 * seconds / (m.rounds(3, 0.5) / count))
        for name, variant in variants.items():
            if name in ("plain", "plain again", "py-spy"):
                continue
            server.bytes_received = server.requests = 0
            began = time.time()
            cpu_of(folder, variant, 1, tenth, 0.1)
            time.sleep(1)
            took = time.time() - began - 1
            m.line(f"{version}, sent, {name}", f"{server.bytes_received / took * 60 / 1000:.1f} kB a minute in {server.requests} requests")
        server.shutdown()
