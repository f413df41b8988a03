#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pushes to a receiver of Pyroscope's push.v1, however the program ends; a failing server costs the program nothing."""
import http.server
import os
import signal
import subprocess
import threading
import time

from support import MILL, check, done, environment, run

received, answers = [], []
lock = threading.Lock()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            status = answers.pop(0) if answers else 200
            if status == 200:
                received.append((self.path, dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Type", "application/proto")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"


def fields(data):
    """The length-delimited fields of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, data[at:at + size]
            at += size
        else:
            yield key >> 3, varint()


def labels(body):
    series = [v for k, v in fields(body) if k == 1]
    pairs = {}
    for k, v in fields(series[0]):
        if k == 1:
            pair = dict(fields(v))
            pairs[pair[1].decode()] = pair[2].decode()
    return len(series), pairs


def wait_for(service, seconds=12):
    end = time.time() + seconds
    while time.time() < end:
        with lock:
            found = [r for r in received if service in str(labels(r[2])[1].get("service_name"))]
        if found:
            return found
        time.sleep(0.05)
    return []


def settings(service, **more):
    return environment(server=url, service=service, **more)


result = run([MILL, "40"], env=settings("orderly", labels="region=eu;team=mill", tenant="t1", auth="bearer:s3cret"))
found = wait_for("orderly")
check("a profile arrives after an orderly end", len(found) == 1, len(found))
if found:
    path, headers, body = found[0]
    count, pairs = labels(body)
    check("by push.v1", path == "/push.v1.PusherService/Push" and headers["Content-Type"] == "application/proto", path)
    check("one series", count == 1)
    check("with the labels", pairs.get("__name__") == "process_cpu" and pairs.get("region") == "eu" and pairs.get("team") == "mill", pairs)
    check("tenant and token are sent", headers.get("X-Scope-OrgID") == "t1" and headers.get("Authorization") == "Bearer s3cret")
check("nothing is said", result.stderr == b"", result.stderr)

import platform
check("and the machine's name and the runtime", found and pairs.get("host") == platform.node()
      and pairs.get("process.runtime.name") == "native", pairs)
unshared = ["unshare", "--uts", "sh", "-c", 'hostname other-machine && exec "$0" 20', MILL]
if os.getuid() == 0 and run(["unshare", "--uts", "true"]).returncode == 0:
    run(unshared, env=settings("elsewhere"))
    hosts = {labels(r[2])[1].get("host") for r in wait_for("elsewhere")}
    check("a machine's name is that of the program's own name space", "other-machine" in hosts, hosts)
else:
    print("not root: no UTS name space to be tried")
script = "import time\nt=time.time()\nwhile time.time()-t<0.6: sum(i for i in range(1000))"
run(["/usr/bin/python3", "-c", script], env=settings("snake"))
snake = [labels(r[2])[1] for r in wait_for("snake")]
version = ".".join(run(["/usr/bin/python3", "-V"]).stdout.decode().split()[1].split(".")[:2])
check("CPython is named with its version", [(s.get("process.runtime.name"), s.get("process.runtime.version")) for s in snake]
      == [("cpython", version)], snake)

import shutil
import tempfile
java = shutil.which("java")
if java and shutil.which("javac"):
    folder = tempfile.mkdtemp()
    with open(folder + "/Spin.java", "w") as file:
        file.write("public class Spin { static double work(double x) { for (int i = 0; i < 1000; i++) x += Math.sqrt(x + i); return x; }"
                   " public static void main(String[] a) { long end = System.nanoTime() + 1500000000L; double x = 1;"
                   " while (System.nanoTime() < end) x = work(x % 7); if (x == 0) System.out.println(x); } }")
    subprocess.run(["javac", "-d", folder, folder + "/Spin.java"], check=True)
    major = run([java, "-XshowSettings:properties", "-version"]).stderr.decode().split("java.specification.version = ")[1].split()[0]
    run([java, "-cp", folder, "Spin"], env=settings("beans"))
    beans = [labels(r[2])[1] for r in wait_for("beans")]
    check("Java is named with its version", ("java", major.removeprefix("1.")) in
          [(b.get("process.runtime.name"), b.get("process.runtime.version")) for b in beans], beans)
else:
    print("no JDK: Java's identity was not looked at")

for name, number in [("term", signal.SIGTERM), ("int", signal.SIGINT), ("kill", signal.SIGKILL), ("crash", signal.SIGSEGV)]:
    process = subprocess.Popen([MILL, "2000"], env=settings("end-" + name), stdout=subprocess.DEVNULL)
    time.sleep(0.7)
    process.send_signal(number)
    process.wait()
    check(f"ended by {name}, the profile arrives", len(wait_for("end-" + name)) == 1)

script = "import os,time\nt=time.time()\nwhile time.time()-t<0.3: sum(range(1000))\nos._exit(3)"
result = run(["/usr/bin/python3", "-c", script], env=settings("underscore"))
check("_exit keeps its status", result.returncode == 3, result.returncode)
check("and its profile arrives", len(wait_for("underscore")) == 1)

result = run([MILL, "5"], env=settings("short"))
check("a program of 200 ms is delivered", len(wait_for("short")) == 1)

answers[:] = [503, 500]
run([MILL, "30"], env=settings("retried"))
check("503 and 500 are tried again, once each", len(wait_for("retried")) == 1)
time.sleep(0.5)
check("and nothing arrives twice", len(wait_for("retried")) == 1)

answers[:] = [400]
started = time.time()
result = run([MILL, "30"], env=settings("refused"))
time.sleep(1)
check("a refusal is final", wait_for("refused", 0.1) == [])

# A server that is away: what was not sent goes with the next process of the service, whose agent is another one.
spool = tempfile.mkdtemp() + "/spool"
with lock:
    answers[:] = [503] * 1000
run([MILL, "30"], env=settings("spooled", spool=spool))
end = time.time() + 12
while time.time() < end and not [n for n in os.listdir(spool) if n.endswith(".upload")] if os.path.isdir(spool) else time.time() < end:
    time.sleep(0.1)
check("what a server does not take is kept on disk", [n for n in os.listdir(spool) if n.endswith(".upload")] != [])
time.sleep(7)  # until its agent has left
with lock:
    answers[:] = []
run([MILL, "30"], env=settings("spooled", spool=spool))
end = time.time() + 12
while time.time() < end and len(wait_for("spooled", 0.1)) < 2:
    time.sleep(0.1)
check("and sent after the next process's", len(wait_for("spooled", 0.1)) == 2, len(wait_for("spooled", 0.1)))
end = time.time() + 8
while time.time() < end and os.listdir(spool):
    time.sleep(0.1)
check("nothing stays behind", os.listdir(spool) == [], os.listdir(spool))

started = time.time()
plain = run([MILL, "30"])
took_plain = time.time() - started
started = time.time()
dead = run([MILL, "30"], env=environment(server="http://127.0.0.1:9", service="dead"))
check("a dead server changes neither output nor status", (dead.stdout, dead.returncode) == (plain.stdout, plain.returncode))
check("nor keeps the program from ending", time.time() - started < took_plain + 2, time.time() - started)
bad = run([MILL, "5"], env=environment(server="ftp://x", service="bad"))
check("a bad URL is one line naming it", bad.stderr.count(b"\n") <= 1, bad.stderr)
server.shutdown()
done()
