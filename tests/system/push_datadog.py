#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Datadog's intake: the receiver refuses what is not, field by field, what libdatadog sends."""
import datetime
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import STACKS, Pushed, Receiver, built, stacks_of  # noqa: E402

BUILD = os.environ["DEEPPROF_BUILD"]
IDENTITY = ["--identity", "process.runtime.name=cpython", "--identity", "process.runtime.version=3.11", "--identity", "env=prod",
            "--identity", "version=1.2", "--resource", "host.name=box", "--resource", "process.pid=4711",
            "--resource", "service.instance.id=00112233-4455-4677-8899-aabbccddeeff"]


class Datadog(unittest.TestCase):
    def accepted(self, server, run):
        self.assertEqual((run.code, run.err), (0, ""))
        records = server.received()
        self.assertEqual([r["error"] for r in records], [""] * len(records))
        return records

    def test_an_event_and_a_profile_with_datadog_s_names(self):
        before = datetime.datetime.now(datetime.timezone.utc)
        with Receiver() as server:
            run = Pushed("datadog+" + server.url, *IDENTITY, "--label", "span_id=00f067aa0ba902b7", "--auth", "datadog+header:DD-API-KEY:k1",
                         "--push", "--until-sent", 1)
            (record,) = self.accepted(server, run)
        self.assertEqual(record["path"], "/profiling/v1/input")
        self.assertEqual(record["headers"]["Dd-Api-Key"], "k1")
        tags = record["labels"]
        wanted = {"service": "demo", "env": "prod", "version": "1.2", "host": "box", "language": "python", "runtime": "cpython",
                  "runtime_version": "3.11", "runtime-id": "00112233-4455-4677-8899-aabbccddeeff", "process_id": "4711",
                  "profile_seq": "0", "family": "python"}
        self.assertEqual({name: tags.get(name) for name in wanted}, wanted)
        start, end = (datetime.datetime.fromisoformat(tags[name][:26] + "+00:00") for name in ("start", "end"))
        self.assertEqual(end - start, datetime.timedelta(seconds=10))
        self.assertLess(abs(start - before), datetime.timedelta(seconds=30))
        profile = record["profile"]
        self.assertEqual(profile["types"], ["cpu-samples/count", "cpu-time/nanoseconds"])
        self.assertEqual(stacks_of(profile), STACKS)
        self.assertEqual(sum(s["values"][0] for s in profile["samples"]), 10)
        for sample in profile["samples"]:
            self.assertEqual(sample["labels"]["thread name"], ["worker-0"])
            self.assertEqual((sample["numbers"]["thread id"], sample["numbers"]["thread native id"]), ([1000], [1000]))
            self.assertEqual(sample["numbers"]["span id"], [0x00f067aa0ba902b7])

    def test_a_span_s_number_of_64_bits_is_a_signed_one(self):
        with Receiver() as server:
            run = Pushed("datadog+" + server.url, "--identity", "process.runtime.name=native", "--label", "span_id=f0f067aa0ba902b7",
                         "--push", "--until-sent", 1)
            (record,) = self.accepted(server, run)
        self.assertEqual(record["profile"]["samples"][0]["numbers"]["span id"], [0xf0f067aa0ba902b7 - (1 << 64)])
        self.assertEqual((record["labels"]["family"], record["labels"]["language"]), ("native", "native"))

    def test_by_a_unix_socket_past_any_proxy(self):
        with tempfile.TemporaryDirectory() as folder, Receiver(options=["-socket", folder + "/apm.socket"]) as server:
            run = Pushed(f"datadog+unix://{folder}/apm.socket", "--identity", "process.runtime.name=native", "--proxy", "http://127.0.0.1:1",
                         "--push", "--until-sent", 1)
            (record,) = self.accepted(server, run)
            self.assertEqual(record["path"], "/profiling/v1/input")

    def test_a_socket_that_is_not_there_is_waited_for(self):
        run = Pushed("datadog+unix:///nowhere/apm.socket", "--push", "--work", 300, "--stats")
        self.assertEqual((run.stats["queued"], run.stats["upload_failed"], run.err.count("\n")), (1, 0, 1), run.err)
        self.assertIn("cannot be reached", run.err)

    def test_the_intake_itself(self):
        with Receiver() as server:
            run = Pushed(f"datadog+{server.url}/api/v2/profile", *IDENTITY, "--push", "--until-sent", 1)
            (record,) = self.accepted(server, run)
            self.assertEqual(record["path"], "/api/v2/profile")

    def test_tags_that_datadog_could_not_read_are_mended(self):
        hostile = ["--identity", "a,b=x,y", "--identity", "c:d=e:f", "--identity", 'q="\\\n', "--identity", "host=mine",
                   "--identity", "long=" + "é" * 300, "--resource", "host.name=box"]
        with Receiver() as server:
            run = Pushed("datadog+" + server.url, "--identity", "process.runtime.name=native", *hostile, "--push", "--until-sent", 1)
            (record,) = self.accepted(server, run)
        self.assertEqual(record["labels"]["a_b"], "x_y")
        self.assertEqual(record["labels"]["c_d"], "e:f")
        self.assertEqual(record["labels"]["host"], "mine")

    def test_what_passes_and_what_does_not(self):
        for word, tries in ("503", 2), ("429", 2), ("500", 2), ("400", 1), ("403", 1), ("404", 1), ("413", 1), ("portal", 2):
            with Receiver(word) as server:
                run = Pushed("datadog+" + server.url, *IDENTITY, "--push", "--flush", 5000, "--stats")
                self.assertEqual((word, len(server.received()), run.stats["sent"]), (word, tries, tries - 1))

    def test_a_program_with_datadog_s_variables_alone(self):
        with tempfile.TemporaryDirectory() as folder, Receiver(options=["-socket", folder + "/apm.socket"]) as server:
            burn = "import time\nt=time.process_time()\nwhile time.process_time()-t<0.5: sum(i for i in range(1000))"
            env = {k: v for k, v in os.environ.items() if not k.startswith(("DEEPPROF_", "DD_", "OTEL_", "PYROSCOPE_"))}
            env.update(LD_PRELOAD=f"{BUILD}/libdeepprof.so", DD_TRACE_AGENT_URL=f"unix://{folder}/apm.socket", DD_SERVICE="shop", DD_ENV="prod",
                       DD_VERSION="7", DD_TAGS="team:a,region:eu")
            done = subprocess.run([sys.executable, "-c", burn], env=env, capture_output=True, timeout=60, cwd=folder)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
            end = time.monotonic() + 15
            while time.monotonic() < end and not server.accepted():
                time.sleep(0.1)
            self.assertEqual([r["error"] for r in server.received()], [""])
            (record,) = server.accepted()
            wanted = {"service": "shop", "env": "prod", "version": "7", "team": "a", "region": "eu", "language": "python",
                      "host": os.uname().nodename}
            self.assertEqual({name: record["labels"].get(name) for name in wanted}, wanted)
            self.assertRegex(record["labels"]["runtime-id"], "^[0-9a-f-]{36}$")
            self.assertGreater(sum(s["values"][1] for s in record["profile"]["samples"]), 300_000_000)


if __name__ == "__main__":
    built("receiver")
    program = unittest.main(verbosity=2, exit=False)
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
