#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delivery to a real Parca: pushed, read back through its query API, compared."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import SOURCE, STACKS, TOOL, Parca, Pushed, built  # noqa: E402

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta"


def raw(folder, pprof):
    """{stack, leaf first: value} as `go tool pprof -raw` reads the answer."""
    path = os.path.join(folder, "back.pb.gz")
    with open(path, "wb") as file:
        file.write(pprof)
    go = subprocess.run([f"{SOURCE}/packaging/setup-go.sh", "--find"], capture_output=True, text=True).stdout.strip()
    text = subprocess.run([go, "tool", "pprof", "-raw", path], capture_output=True, text=True, check=True).stdout
    samples, locations = text.split("Samples:\n")[1].split("Locations\n")
    frames, number = {}, None
    for line in locations.split("Mappings")[0].splitlines():
        found = re.match(r"\s*(\d+):\s+\S+\s+(M=\d+\s+)?(\S+)\s+(\S+?:\d+)(:\d+)?\s+s=\d+", line)
        if found:
            frames[found[1]] = f"{found[3]} {found[4]}"
    out = {}
    for line in samples.splitlines()[1:]:
        found = re.match(r"\s*(\d+):\s+([\d ]+)$", line)
        if found:
            key = tuple(frames[n] for n in found[2].split())
            out[key] = out.get(key, 0) + int(found[1])
    return out


class RealParca(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.parca = Parca()

    @classmethod
    def tearDownClass(cls):
        cls.parca.close()

    def push(self, *words, sent=1):
        run = Pushed("parca+" + self.parca.url, *words, "--push", "--until-sent", sent, "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        self.assertEqual((run.stats["sent"], run.stats["retried"]), (sent, 0))

    def read(self, selector):
        return raw(self.parca.folder, self.parca.pprof(CPU + selector))

    def test_functions_lines_and_values_come_back(self):
        self.push("--service", "whole", "--identity", "region=eu")
        self.assertEqual(self.read('{service_name="whole"}'), STACKS)
        self.assertEqual(self.read('{service_name="whole",region="eu"}'), STACKS)
        self.assertEqual(self.read('{service_name="whole",region="us"}'), {})
        self.assertLessEqual({CPU, "process_cpu:samples:count:cpu:nanoseconds:delta"}, self.parca.types())

    def test_threads_are_told_apart(self):
        self.push("--service", "threads", "--threads", 3, sent=3)
        self.assertEqual(self.read('{service_name="threads",thread="worker-1"}'), STACKS)
        self.assertEqual(self.read('{service_name="threads"}'), {k: 3 * v for k, v in STACKS.items()})
        self.assertLessEqual({"worker-0", "worker-1", "worker-2"}, set(self.parca.label_values("thread")))

    def test_a_large_profile_comes_back_whole(self):
        run = Pushed("parca+" + self.parca.url, "--service", "large", "--samples", 20000, "--pad", 150, "--push",
                     "--flush", 30000, "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        self.assertGreater(run.stats["sent"], 2)
        self.assertEqual(run.stats["upload_failed"] + run.stats["queued"], 0)
        back = self.read('{service_name="large"}')
        self.assertEqual(len(back), 20003)
        self.assertEqual(sum(back.values()), sum(STACKS.values()) + 20000 * 10_000_000)

    def test_hostile_labels_pass(self):
        self.push("--service", 'sh"op\\ \n', "--identity", "a-b c=1", "--identity", "long=" + "é" * 2000)
        self.assertIn('sh"op\\ \n', self.parca.label_values("service_name"))
        self.assertIn("1", self.parca.label_values("a_b_c"))

    def test_down_in_the_middle_and_back(self):
        tool = subprocess.Popen([TOOL, "parca+" + self.parca.url, "--service", "back", "--push", "--until-sent", "1", "--signal",
                                 "--push", "--push", "--work", "500", "--signal", "--until-sent", "3", "--stats"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        tool.stdout.readline()
        self.parca.stop()
        tool.stdin.write("\n")
        tool.stdin.flush()
        tool.stdout.readline()
        self.parca.start()
        out, err = tool.communicate("\n", timeout=60)
        self.assertEqual(tool.returncode, 0, err)
        # The first went with the server's memory; the two pushed meanwhile are there, each once.
        self.assertEqual(self.read('{service_name="back"}'), {k: 2 * v for k, v in STACKS.items()})

    def test_a_refusal_is_counted_and_said(self):
        run = Pushed(self.parca.url, "--push", "--work", 2000, "--stats")  # not a Pyroscope
        self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (0, 0, 1))
        self.assertIn("check the setting server", run.err)


if __name__ == "__main__":
    built("parca")
    program = unittest.main(verbosity=2, exit=False)
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
