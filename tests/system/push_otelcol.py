#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delivery to a real OpenTelemetry Collector: pushed, read back from what it passes on, compared."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import STACKS, Collector, Pushed, leaves_of, profiled  # noqa: E402


class RealCollector(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()

    @classmethod
    def tearDownClass(cls):
        cls.collector.close()

    def test_functions_lines_and_values_come_out_again(self):
        run = Pushed("otlp+" + self.collector.url, "--service", "whole", "--identity", "region=eu", "--resource", "process.pid=7",
                     "--push", "--until-sent", 1, "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        (found,) = self.collector.wait_for("whole")
        self.assertEqual(found.stacks, {k: v // 10_000_000 for k, v in STACKS.items()})
        self.assertEqual((found.type, found.period_type, found.period), ("samples/count", "cpu/nanoseconds", 10_000_000))
        self.assertEqual(found.resource, {"service.name": "whole", "region": "eu", "process.pid": 7})

    def test_a_preloaded_program_is_there_as_in_its_file(self):
        mill = os.path.join(os.environ["DEEPPROF_BUILD"], "examples/mill")
        file = profiled([mill, "60"], "otlp+" + self.collector.url, "preloaded", self.collector.folder, labels="region=eu")
        self.assertGreater(sum(file.values()), 500_000_000)
        end, back = time.monotonic() + 12, {}
        while sum(back.values()) < sum(file.values()) and time.monotonic() < end:
            back = {}
            for profile in self.collector.profiles("preloaded"):
                self.assertEqual(profile.resource["process.executable.name"], "mill")
                for name, value in leaves_of(profile.stacks).items():
                    back[name] = back.get(name, 0) + value * profile.period
            time.sleep(0.2)
        self.assertEqual(back, file)

    def test_a_large_profile_comes_out_whole(self):
        run = Pushed("otlp+" + self.collector.url, "--service", "large", "--samples", 20000, "--pad", 150, "--push", "--flush", 30000,
                     "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        parts = self.collector.wait_for("large", run.stats["sent"])
        self.assertGreater(len(parts), 2)
        self.assertEqual(sum(len(p.stacks) for p in parts), 20003)
        self.assertEqual(sum(sum(p.stacks.values()) for p in parts), sum(STACKS.values()) // 10_000_000 + 20000)

    def test_another_kind_of_server_is_said(self):
        run = Pushed(self.collector.url, "--push", "--work", 2000, "--stats")  # not a Pyroscope
        self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (0, 0, 1))
        self.assertIn("check the setting server", run.err)


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
