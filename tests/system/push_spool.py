#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What could not be sent waits in a folder: for the next agent of the same service, bounded, and nobody's trap."""
import glob
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import TOOL, Pushed, Receiver, built, free_port  # noqa: E402


def entries(folder):
    return sorted(glob.glob(folder + "/*.upload"))


class Spool(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = self.temporary.name + "/spool"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def tearDown(self):
        self.temporary.cleanup()

    def pushed(self, *words, url=None):
        return Pushed(url or self.url, "--spool", self.folder, *words)

    def server(self, *script):
        return Receiver(*script, options=["-addr", f"127.0.0.1:{self.port}"])

    def fill(self, count, *words):
        run = self.pushed(*words, *["--push"] * count, "--work", 300, "--stats")
        self.assertEqual(run.stats["queued"], count)
        self.assertEqual(len(entries(self.folder)), count)

    def test_the_next_agent_of_the_service_sends_what_is_left(self):
        self.fill(3)
        with self.server() as server:
            run = self.pushed("--push", "--until-sent", 4, "--stats")
            self.assertEqual(run.code, 0, run.err)
            self.assertEqual((run.stats["sent"], run.stats["spool_lost"], run.stats["spooled"]), (4, 0, 0))
            ids = [r["id"] for r in server.accepted()]
            self.assertEqual((len(ids), len(set(ids))), (4, 4))
        self.assertEqual(os.listdir(self.folder), [])

    def test_also_after_a_kill(self):
        tool = subprocess.run([TOOL, self.url, "--spool", self.folder, "--push", "--push", "--work", "300", "--kill"],
                              stderr=subprocess.DEVNULL)
        self.assertEqual(tool.returncode, -signal.SIGKILL)
        self.assertEqual(len(entries(self.folder)), 2)
        with self.server() as server:
            self.assertEqual(self.pushed("--push", "--until-sent", 3).code, 0)
            self.assertEqual(len(server.accepted()), 3)

    def test_also_where_a_forked_child_lives_on(self):
        tool = subprocess.Popen([TOOL, self.url, "--spool", self.folder, "--push", "--work", "300", "--leave-child"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        child = int(tool.stdout.readline())
        try:
            self.assertEqual(tool.wait(timeout=30), 0)
            self.assertEqual(len(entries(self.folder)), 1)
            with self.server() as server:
                self.assertEqual(self.pushed("--push", "--until-sent", 2).code, 0)
                self.assertEqual(len(server.accepted()), 2)
        finally:
            os.kill(child, signal.SIGKILL)
            tool.stdout.close()

    def test_files_and_folder_are_for_their_user_alone(self):
        self.fill(1, "--auth", "bearer:hunter2")
        self.assertEqual(stat.S_IMODE(os.stat(self.folder).st_mode), 0o700)
        for name in os.listdir(self.folder):
            self.assertEqual(stat.S_IMODE(os.stat(f"{self.folder}/{name}").st_mode), 0o600)
            with open(f"{self.folder}/{name}", "rb") as file:
                self.assertNotIn(b"hunter2", file.read())

    def test_another_service_or_tenant_or_server_does_not_send_it(self):
        self.fill(2, "--service", "mine", "--tenant", "a")
        with self.server() as server, Receiver() as other:
            for url, words in ((self.url, ["--service", "other", "--tenant", "a"]), (self.url, ["--service", "mine", "--tenant", "b"]),
                               (other.url, ["--service", "mine", "--tenant", "a"])):
                run = self.pushed(*words, "--push", "--until-sent", 1, "--work", 200, "--stats", url=url)
                self.assertEqual((run.stats["sent"], run.stats["spooled"]), (1, 0))
            self.assertEqual(len(entries(self.folder)), 2)
            run = self.pushed("--service", "mine", "--tenant", "a", "--push", "--until-sent", 3)
            self.assertEqual(run.code, 0, run.err)
            self.assertEqual(len(server.accepted()), 5)
            self.assertEqual([r["headers"]["X-Scope-Orgid"] for r in server.accepted() if r["labels"]["service_name"] == "mine"].count("a"), 3)

    def test_what_lives_is_not_taken_over(self):
        tool = subprocess.Popen([TOOL, self.url, "--spool", self.folder, "--push", "--work", "300", "--signal", "--until-sent", "1"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        tool.stdout.readline()
        self.assertEqual(len(entries(self.folder)), 1)
        with self.server() as server:
            run = self.pushed("--push", "--until-sent", 1, "--work", 300, "--stats")
            self.assertEqual(run.stats["sent"], 1)
            tool.communicate("\n", timeout=30)
            self.assertEqual(tool.returncode, 0)
            ids = [r["id"] for r in server.accepted()]
            self.assertEqual((len(ids), len(set(ids))), (2, 2))
        self.assertEqual(entries(self.folder), [])

    def test_many_at_once_send_each_once(self):
        self.fill(20)
        with self.server() as server:
            tools = [subprocess.Popen([TOOL, self.url, "--spool", self.folder, "--push", "--work", "2500", "--stats"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
            self.assertEqual([t.wait(timeout=60) for t in tools], [0] * 4)
            ids = [r["id"] for r in server.accepted()]
            self.assertEqual((len(ids), len(set(ids))), (24, 24))
        self.assertEqual(entries(self.folder), [])

    def test_a_damaged_file_is_counted_and_removed(self):
        self.fill(4)
        names = entries(self.folder)
        with open(names[0], "r+b") as file:
            file.seek(100)
            file.write(b"\x55\xaa\x55")
        os.truncate(names[1], 40)
        os.truncate(names[2], 0)
        with self.server() as server:
            run = self.pushed("--push", "--until-sent", 2, "--work", 100, "--stats")
            self.assertEqual((run.code, run.stats["spool_lost"], run.stats["sent"]), (0, 3, 2), run.err)
            self.assertEqual(len(server.accepted()), 2)
        self.assertEqual(os.listdir(self.folder), [])

    def test_an_old_one_is_counted_and_removed(self):
        self.fill(2, "--age", 100, "--ago", 98)
        with self.server() as server:
            time.sleep(3)
            run = self.pushed("--age", 100, "--push", "--until-sent", 1, "--work", 100, "--stats")
            self.assertEqual((run.stats["sent"], run.stats["spool_lost"], run.stats["upload_failed"]), (1, 2, 0))
            self.assertEqual(len(server.accepted()), 1)
        self.assertEqual(entries(self.folder), [])

    def test_the_folder_is_bounded_and_the_oldest_go(self):
        run = self.pushed("--spool-bytes", 6000, *["--push"] * 20, "--work", 300, "--push", "--work", 300, "--stats")
        self.assertLessEqual(sum(os.path.getsize(name) for name in entries(self.folder)), 6000)
        self.assertGreater(len(entries(self.folder)), 1)
        self.assertEqual(run.stats["queued"], 21)

    def test_what_the_memory_does_not_hold_the_disk_does(self):
        with self.server("503*") as server:
            run = self.pushed("--bytes", 5000, *["--push"] * 20, "--work", 200, "--stats")
            self.assertEqual((run.stats["pushed"], run.stats["queue_full"]), (20, 0))
            self.assertGreater(run.stats["spooled"], 5)
            self.assertEqual(len(entries(self.folder)), 20)
            server.script()
            run = self.pushed("--bytes", 5000, "--push", "--until-sent", 21, "--stats")
            self.assertEqual((run.code, run.stats["spooled"]), (0, 0), run.err)
            self.assertEqual(len({r["id"] for r in server.accepted()}), 21)

    def test_a_refused_one_is_removed(self):
        with self.server("503", "503", "400") as server:
            run = self.pushed("--push", "--flush", 5000, "--stats")
            self.assertEqual((run.stats["upload_failed"], len(server.received())), (1, 3))
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_folder_of_somebody_else_s_making_harms_nobody(self):
        os.makedirs(self.folder)
        victim = self.temporary.name + "/victim"
        with open(victim, "w") as file:
            file.write("mine")
        os.symlink(victim, self.folder + "/0123456789abcdef-1.upload")
        os.mkfifo(self.folder + "/0123456789abcdef.lock")
        os.mkfifo(self.folder + "/fedcba9876543210-1.upload")
        with open(self.folder + "/fedcba9876543210.lock", "w"):
            pass
        with open(self.folder + "/notes", "w") as file:
            file.write("mine")
        with self.server() as server:
            run = self.pushed("--push", "--until-sent", 1, "--stats")
            self.assertEqual((run.code, run.stats["sent"]), (0, 1), run.err)
        with open(victim) as file:
            self.assertEqual(file.read(), "mine")
        self.assertIn("notes", os.listdir(self.folder))

    def test_a_folder_that_cannot_be_used_is_said_once_and_profiles_are_sent(self):
        with open(self.folder, "w"):
            pass
        with self.server() as server:
            run = self.pushed("--push", "--until-sent", 1)
            self.assertEqual((run.code, run.err.count("\n")), (0, 1), run.err)
            self.assertIn("spool", run.err)
            self.assertEqual(len(server.accepted()), 1)


if __name__ == "__main__":
    built("receiver")
    program = unittest.main(verbosity=2, exit=False)
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
