#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delivery to a real Pyroscope (PYROSCOPE_URL or PYROSCOPE_BIN): pushed, read back, compared."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import STACKS, TOOL, Pushed, Pyroscope, leaves_of, profiled  # noqa: E402

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
RUN = f"run{os.getpid()}x{int(time.time())}"  # a server named by its URL may hold profiles of other runs


class RealPyroscope(unittest.TestCase):
    server = None

    def push(self, *words, sent=1):
        run = Pushed(self.server.url, *words, "--push", "--until-sent", sent, "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        self.assertEqual((run.stats["sent"], run.stats["retried"]), (sent, 0))

    def test_functions_lines_and_values_come_back(self):
        self.push("--service", RUN + "whole", "--identity", "region=eu", "--identity", "process.runtime.name=native")
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}whole"}}'), STACKS)
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}whole",region="eu"}}'), STACKS)
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}whole",region="us"}}'), {})
        self.assertLessEqual({CPU, "process_cpu:samples:count:cpu:nanoseconds"}, self.server.types())

    def test_a_preloaded_program_is_there_as_in_its_file(self):
        mill = os.path.join(os.environ["DEEPPROF_BUILD"], "examples/mill")
        file = profiled([mill, "60"], self.server.url, RUN + "preloaded", self.server.folder, labels="region=eu")
        self.assertGreater(sum(file.values()), 500_000_000)
        end = time.monotonic() + 12
        while True:
            back = leaves_of(self.server.stacks(CPU, f'{{service_name="{RUN}preloaded",region="eu"}}'))
            if sum(back.values()) >= sum(file.values()) or time.monotonic() > end:
                break
            time.sleep(0.2)
        self.assertEqual(sum(back.values()), sum(file.values()))
        hot = [name for name, value in file.items() if value >= sum(file.values()) // 20 and "+0x" not in name]
        self.assertGreater(len(hot), 1)
        self.assertEqual({name: back.get(name) for name in hot}, {name: file[name] for name in hot})

    def test_threads_are_told_apart(self):
        self.push("--service", RUN + "threads", "--threads", 3)
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}threads",thread="worker-1"}}'), STACKS)
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}threads"}}'), {k: 3 * v for k, v in STACKS.items()})

    def test_a_large_profile_comes_back_whole(self):
        run = Pushed(self.server.url, "--service", RUN + "large", "--samples", 20000, "--pad", 150, "--push", "--flush", 40000,
                     "--stats")
        self.assertEqual(run.code, 0)
        self.assertGreater(run.stats["sent"], 2)
        self.assertEqual(run.stats["upload_failed"] + run.stats["queued"], 0, run.err)
        back = self.server.stacks(CPU, f'{{service_name="{RUN}large"}}')
        # The server's answer keeps the heaviest stacks and sums up the rest.
        self.assertEqual(sum(back.values()), sum(STACKS.values()) + 20000 * 10_000_000)

    def test_hostile_labels_pass(self):
        more = [w for i in range(40) for w in ("--identity", f"more{i}=x")]
        self.push("--service", RUN + "hostile", "--identity", "a-b c=1", "--identity", "__name__=evil", "--identity",
                  "long=" + "é" * 2000, *more)
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}hostile",a_b_c="1"}}'), STACKS)

    def test_too_old_for_the_server_is_refused_and_counted(self):
        run = Pushed(self.server.url, "--age", 100000, "--ago", 7200, "--push", "--work", 2000, "--stats")
        self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (0, 0, 1))
        self.assertIn("answers 400", run.err)

    def test_another_kind_of_server_is_said(self):
        run = Pushed("parca+" + self.server.url, "--push", "--work", 3000, "--flush", 5000, "--stats")
        self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (0, 0, 1))

    def test_by_otlp_it_is_the_same_profile(self):
        run = Pushed("otlp+" + self.server.url, "--service", RUN + "otlp", "--identity", "region=eu", "--threads", 2, "--nameless", 1,
                     "--push", "--until-sent", 1)
        self.assertEqual((run.code, run.err), (0, ""))
        wanted = {k: 2 * v for k, v in STACKS.items()} | {("demo+0x9000 :0", "main demo.c:10"): 10_000_000}
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}otlp"}}'), wanted)

    def test_twenty_hosts_at_once(self):
        start = time.monotonic()
        run = Pushed(self.server.url, "--service", RUN + "many", *["--push"] * 20, "--until-sent", 20, "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        print(f"20 uploads in {time.monotonic() - start:.2f} s", file=sys.stderr)
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}many"}}'), {k: 20 * v for k, v in STACKS.items()})

    def test_down_in_the_middle_and_back(self):
        if not self.server.process:
            self.skipTest("the server is not ours to stop")
        tool = subprocess.Popen([TOOL, self.server.url, "--service", RUN + "back", "--push", "--until-sent", "1", "--signal", "--push",
                                 "--push", "--work", "500", "--signal", "--until-sent", "3", "--stats"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        tool.stdout.readline()
        self.server.stop()
        tool.stdin.write("\n")
        tool.stdin.flush()
        tool.stdout.readline()
        self.server.start()
        out, err = tool.communicate("\n", timeout=60)
        self.assertEqual(tool.returncode, 0, err)
        there = 3 if self.server.is_durable else 2
        self.assertEqual(self.server.stacks(CPU, f'{{service_name="{RUN}back"}}'), {k: there * v for k, v in STACKS.items()})


if __name__ == "__main__":
    RealPyroscope.server = Pyroscope()
    try:
        program = unittest.main(verbosity=2, exit=False)
    finally:
        RealPyroscope.server.close()
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
