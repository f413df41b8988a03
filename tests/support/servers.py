# SPDX-License-Identifier: Apache-2.0
"""Servers and the push tool, as tests use them. Standard library only; everything listens on loopback."""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

SOURCE = os.environ["DEEPPROF_SOURCE"]
TOOL = os.path.join(os.environ["DEEPPROF_BUILD"], "tests/support/push_tool")
SKIPPED = 77

# What push_tool pushes, leaf first: {stack: cpu nanoseconds}.
STACKS = {
    ("fib demo.c:30", "work demo.c:20", "main demo.c:10"): 30_000_000,
    ("memcpy demo.c:50", "copy_buf demo.c:40", "work demo.c:20", "main demo.c:10"): 50_000_000,
    ("read_file demo.c:60", "main demo.c:10"): 20_000_000,
}


def skip(why):
    print("SKIP:", why)
    sys.exit(SKIPPED)


def built(name):
    """Path of a server that tests/servers/build.sh makes; skips where it cannot be had."""
    done = subprocess.run([f"{SOURCE}/tests/servers/build.sh", name], stdout=subprocess.PIPE, text=True)
    if done.returncode == SKIPPED:
        skip(f"no {name} to be had")
    if done.returncode:
        sys.exit(f"could not build {name}")
    return done.stdout.strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url, query=None, timeout=10):
    if query:
        url += "?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


def post(url, body, kind="application/json", timeout=10):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return answer.read()


class Server:
    """A process with a folder of its own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="deepprof-server-")
        self.process = None
        self.url = None

    def run(self, command, **more):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)

    def wait(self, is_ready, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if is_ready():
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        with open(os.path.join(self.folder, "log"), errors="replace") as file:
            log = file.read()
        self.close()
        sys.exit("the server did not come up:\n" + log[-3000:])

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Receiver(Server):
    def __init__(self, *script, options=()):
        super().__init__()
        self.options = list(options)
        self.start()
        if script:
            self.script(*script)

    def start(self):
        ready = os.path.join(self.folder, "url")
        address = [] if not self.url else ["-addr", self.url.split("://")[1]]
        if os.path.exists(ready):
            os.unlink(ready)
        self.run([built("receiver"), *address, *self.options, self.folder])
        self.wait(lambda: os.path.exists(ready))
        with open(ready) as file:
            self.url = file.read()

    def script(self, *words):
        post(self.url + "/script", " ".join(words).encode())

    def received(self):
        return json.loads(get(self.url + "/received")) or []

    def accepted(self):
        return [r for r in self.received() if r["accepted"]]


class Pushed:
    """One run of the push tool: what it said and how it ended."""

    def __init__(self, server, *words, timeout=60):
        done = subprocess.run([TOOL, server, *map(str, words)], capture_output=True, text=True, timeout=timeout)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.lines = self.out.splitlines()
        self.json = [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def stats(self):
        return [j for j in self.json if "sent" in j][-1]


def stacks_of(profile, value=-1, with_label=None):
    """{stack: value} of what the receiver decoded."""
    out = {}
    for sample in profile["samples"]:
        if with_label and (sample["labels"] or {}).get(with_label[0]) != [with_label[1]]:
            continue
        key = tuple(sample["stack"])
        out[key] = out.get(key, 0) + sample["values"][value]
    return out


def profiled(command, server, service, folder, **settings):
    """Runs a program under the library with that server and a file beside it; {function: leaf cpu ns} of the file."""
    build = os.environ["DEEPPROF_BUILD"]
    output = os.path.join(folder, service + ".pb.gz")
    env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_")}
    env.update(LD_PRELOAD=f"{build}/libdeepprof.so", DEEPPROF_SERVER=server, DEEPPROF_SERVICE=service, DEEPPROF_OUTPUT=output)
    env.update({f"DEEPPROF_{k.upper()}": v for k, v in settings.items()})
    done = subprocess.run(command, env=env, capture_output=True, timeout=120)
    if done.returncode or done.stderr:
        raise AssertionError(f"{command}: {done.returncode} {done.stderr!r}")
    end = time.monotonic() + 15
    while not os.path.exists(output) and time.monotonic() < end:
        time.sleep(0.05)
    text = subprocess.run([f"{build}/deepprof", "report", output, "--collapsed"], capture_output=True, text=True, check=True).stdout
    leaves = {}
    for line in text.splitlines():
        stack, count = line.rsplit(" ", 1)
        leaf = stack.split(";")[-1]
        leaves[leaf] = leaves.get(leaf, 0) + int(count) * 10_000_000
    return leaves


def leaves_of(stacks):
    """{function: leaf value} of {stack of "function file:line": value}"""
    leaves = {}
    for stack, value in stacks.items():
        name = stack[0].rsplit(" ", 1)[0] if stack else ""
        leaves[name] = leaves.get(name, 0) + value
    return leaves


# ---- Parca ----

class Parca(Server):
    def __init__(self):
        super().__init__()
        self.binary = built("parca")
        self.port = free_port()
        self.start()

    def start(self):
        config = os.path.join(self.folder, "parca.yaml")
        with open(config, "w") as file:
            file.write(f"object_storage:\n  bucket:\n    type: FILESYSTEM\n    config:\n      directory: {self.folder}/data\n")
        self.url = f"http://127.0.0.1:{self.port}"
        # Port 9 on loopback: no symbol is looked up and nothing is shared beyond this machine.
        self.run([self.binary, f"--http-address=127.0.0.1:{self.port}", f"--config-path={config}",
                  f"--debuginfo-cache-dir={self.folder}/cache", "--debuginfod-upstream-servers=http://127.0.0.1:9",
                  "--profile-share-server=127.0.0.1:9"], env=dict(os.environ, TMPDIR=self.folder))
        self.wait(lambda: get(self.url + "/api/profiles/types"))

    def types(self):
        found = json.loads(get(self.url + "/api/profiles/types")).get("types", [])
        return {":".join([t["name"], t["sampleType"], t["sampleUnit"], t["periodType"], t["periodUnit"]]) +
                (":delta" if t.get("delta") else "") for t in found}

    def label_values(self, name):
        return json.loads(get(f"{self.url}/api/profiles/labels/{name}/values")).get("labelValues", [])

    def pprof(self, query, since=600):
        now = time.time()
        stamp = lambda t: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))
        answer = json.loads(get(self.url + "/api/profiles/query", {
            "mode": "MODE_MERGE", "report_type": "REPORT_TYPE_PPROF", "merge.query": query,
            "merge.start": stamp(now - since), "merge.end": stamp(now + 60)}))
        return base64.b64decode(answer["pprof"])


# ---- an OpenTelemetry Collector ----

class OtlpProfile:
    """One profile of what the Collector wrote."""

    def __init__(self, resource, profile, dictionary):
        strings = dictionary["stringTable"]
        text = lambda message, key: strings[message.get(key, 0)]
        kind = lambda t: f"{text(t, 'typeStrindex')}/{text(t, 'unitStrindex')}"
        self.resource = {}
        for attribute in resource.get("attributes", []):
            ((name, value),) = attribute["value"].items()
            if name == "stringValueStrindex":  # it moves texts into the dictionary
                value = strings[value]
            self.resource[attribute.get("key") or text(attribute, "keyStrindex")] = int(value) if name == "intValue" else value
        self.type, self.period_type = kind(profile["sampleType"]), kind(profile["periodType"])
        self.period = int(profile["period"])
        self.stacks = {}
        for sample in profile.get("samples", []):
            stack = []
            for index in dictionary["stackTable"][sample.get("stackIndex", 0)].get("locationIndices", []):
                for line in dictionary["locationTable"][index].get("lines", []):
                    function = dictionary["functionTable"][line["functionIndex"]]
                    stack.append(f"{text(function, 'nameStrindex')} {text(function, 'filenameStrindex')}:{line.get('line', 0)}")
            self.stacks[tuple(stack)] = self.stacks.get(tuple(stack), 0) + sum(map(int, sample["values"]))


class Collector(Server):
    def __init__(self):
        super().__init__()
        binary = built("otelcol")
        self.out = os.path.join(self.folder, "out.json")
        http = free_port()
        self.url = f"http://127.0.0.1:{http}"
        config = os.path.join(self.folder, "config.yaml")
        with open(config, "w") as file:
            file.write(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters: {{file: {{path: "{self.out}", flush_interval: 100ms}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{profiles: {{receivers: [otlp], exporters: [file]}}}}
""")
        self.run([binary, f"--config=file:{config}", "--feature-gates=+service.profilesSupport"])
        self.wait(lambda: post(self.url + "/v1development/profiles", b"", "application/x-protobuf") is not None)

    def profiles(self, service):
        found = []
        with open(self.out) as file:
            for line in file.read().splitlines():
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # being written
                for resource in message.get("resourceProfiles", []):
                    for scope in resource["scopeProfiles"]:
                        found += [OtlpProfile(resource.get("resource", {}), p, message["dictionary"]) for p in scope["profiles"]]
        return [profile for profile in found if profile.resource["service.name"] == service]

    def wait_for(self, service, count=1, seconds=10):
        end = time.monotonic() + seconds
        while len(self.profiles(service)) < count and time.monotonic() < end:
            time.sleep(0.05)
        return self.profiles(service)


# ---- Pyroscope ----

class Pyroscope(Server):
    """A real one: PYROSCOPE_URL, or PYROSCOPE_BIN started here. Neither: skipped."""

    def __init__(self):
        super().__init__()
        self.url = os.environ.get("PYROSCOPE_URL", "").rstrip("/")
        self.binary = os.environ.get("PYROSCOPE_BIN", "")
        if not self.url and not self.binary:
            self.close()
            skip("no Pyroscope: name one by PYROSCOPE_URL or PYROSCOPE_BIN")
        if not self.url:
            self.ports = [free_port() for _ in range(4)]
            self.start()

    def start(self):
        http, grpc, member, raft = self.ports
        folder = self.folder
        self.url = f"http://127.0.0.1:{http}"
        local = "127.0.0.1"
        wanted = ["-target=all", "-architecture.storage=v2", "-storage.backend=filesystem",
                  f"-storage.filesystem.dir={folder}/shared",
                  f"-server.http-listen-address={local}", f"-server.http-listen-port={http}",
                  f"-server.grpc-listen-address={local}", f"-server.grpc-listen-port={grpc}",
                  f"-memberlist.bind-addr={local}", f"-memberlist.bind-port={member}",
                  f"-memberlist.advertise-addr={local}", f"-memberlist.advertise-port={member}",
                  f"-metastore.raft.server-id={local}:{raft}", f"-metastore.raft.bind-address={local}:{raft}",
                  f"-metastore.raft.advertise-address={local}:{raft}", f"-metastore.raft.dir={folder}/raft",
                  f"-metastore.raft.snapshots-dir={folder}/snap", f"-metastore.data-dir={folder}/meta",
                  f"-metastore.address={local}:{grpc}", f"-query-backend.address={local}:{grpc}",
                  "-metastore.min-ready-duration=0", "-segment-writer.min-ready-duration=0",
                  f"-segment-writer.lifecycler.addr={local}", f"-distributor.ring.instance-addr={local}",
                  f"-query-frontend.instance-addr={local}", f"-overrides-exporter.ring.instance-addr={local}",
                  "-self-profiling.disable-push=true", "-usage-stats.enabled=false",
                  # 1.x alone:
                  f"-ingester.lifecycler.addr={local}", f"-pyroscopedb.data-path={folder}/data",
                  f"-query-scheduler.ring.instance-addr={local}", f"-compactor.ring.instance-addr={local}",
                  f"-compactor.data-dir={folder}/compactor", f"-store-gateway.sharding-ring.instance-addr={local}",
                  f"-blocks-storage.bucket-store.sync-dir={folder}/sync"]
        # Which of these a version knows, it says itself.
        known = subprocess.run([self.binary, "-help-all"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.split()
        self.is_durable = "-architecture.storage" in known  # 1.x forgets what it held in memory when it is killed
        self.run([self.binary, *[word for word in wanted if word.split("=")[0] in known]], cwd=folder)
        self.wait(lambda: get(self.url + "/ready"))

    def query(self, what, **body):
        now = int(time.time() * 1000)
        body = {"start": now - 3600_000, "end": now + 600_000, **body}
        return json.loads(post(f"{self.url}/querier.v1.QuerierService/{what}", body))

    def types(self):
        return {t["ID"] for t in self.query("ProfileTypes").get("profileTypes", [])}

    def stacks(self, kind, selector):
        """{stack, leaf first: value}"""
        pprof = self.query("SelectMergeProfile", profileTypeID=kind, labelSelector=selector)
        strings = pprof.get("stringTable", [])
        text = lambda i: strings[int(i)] if i else ""
        functions = {f["id"]: f for f in pprof.get("function", [])}
        locations = {l["id"]: l for l in pprof.get("location", [])}
        out = {}
        for sample in pprof.get("sample", []):
            stack = []
            for number in sample.get("locationId", []):
                for line in locations[number].get("line", []):
                    function = functions[line["functionId"]]
                    stack.append(f"{text(function.get('name'))} {text(function.get('filename'))}:{line.get('line', 0)}")
            key = tuple(stack)
            out[key] = out.get(key, 0) + int(sample["value"][-1])
        return out
