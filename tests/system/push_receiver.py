#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delivery against a server that fails on demand: what arrives, what is counted, what it costs.

The receiver refuses what the real servers were seen to refuse, so that what it accepted they accept."""
import base64
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
import otlp_message  # noqa: E402
from servers import SKIPPED, STACKS, TOOL, Pushed, Receiver, built, free_port, post, stacks_of  # noqa: E402

IDENTITY = ["--identity", "process.runtime.name=native", "--identity", "region=eu"]


class Contents(unittest.TestCase):
    def test_pyroscope_gets_one_series_with_all_that_it_wants(self):
        with Receiver() as server:
            run = Pushed(server.url, *IDENTITY, "--push", "--until-sent", 1, "--stats")
            self.assertEqual((run.code, run.err), (0, ""))
            (record,) = server.received()
        self.assertEqual(record["path"], "/push.v1.PusherService/Push")
        self.assertEqual(record["error"], "")
        labels = record["labels"]
        self.assertEqual(labels["__name__"], "process_cpu")
        self.assertEqual(labels["service_name"], "demo")
        self.assertEqual(labels["__delta__"], "false")
        self.assertEqual(labels["otel.scope.name"], "deepprof")
        self.assertEqual(labels["process.runtime.name"], "native")
        self.assertEqual(labels["region"], "eu")
        self.assertRegex(record["id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        profile = record["profile"]
        self.assertEqual(profile["types"], ["samples/count", "cpu/nanoseconds"])
        self.assertEqual((profile["period_type"], profile["period"]), ("cpu/nanoseconds", 10_000_000))
        self.assertEqual(profile["duration_nanos"], 10_000_000_000)
        self.assertEqual(stacks_of(profile), STACKS)
        self.assertEqual(profile["build_ids"], {"/usr/bin/demo": "0123456789abcdef0123456789abcdef01234567"})
        self.assertEqual(profile["samples"][0]["numbers"]["tid"], [1000])
        self.assertNotIn("Expect", record["headers"])
        self.assertTrue(record["headers"]["User-Agent"].startswith("deepprof/"))
        self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (1, 0, 0))
        self.assertEqual(run.stats["queued_bytes"], 0)

    def test_parca_gets_a_series_for_each_set_of_labels(self):
        with Receiver() as server:
            run = Pushed("parca+" + server.url, *IDENTITY, "--threads", 3, "--push", "--until-sent", 3, "--stats")
            self.assertEqual((run.code, run.err), (0, ""))
            records = server.accepted()
        self.assertEqual(sorted(r["labels"]["thread"] for r in records), ["worker-0", "worker-1", "worker-2"])
        for record in records:
            self.assertEqual(record["path"], "/api/profiles/writeraw")
            self.assertEqual(record["labels"]["__name__"], "process_cpu")
            self.assertEqual(record["labels"]["process_runtime_name"], "native")
            self.assertEqual(stacks_of(record["profile"]), STACKS)
        self.assertEqual(len({r["profile"]["time_nanos"] // 1_000_000 for r in records}), 3)

    def test_a_frame_without_a_name_gets_one_where_the_server_has_none(self):
        # Pyroscope forgets the address of such a frame; its 1.x then leaves out every sample that holds it.
        for prefix, leaf in (("", ["demo+0x9000 :0", "main demo.c:10"]), ("otlp+", ["demo+0x9000 :0", "main demo.c:10"]),
                             ("parca+", ["main demo.c:10"])):
            with Receiver() as server:
                run = Pushed(prefix + server.url, "--nameless", 1, "--push", "--until-sent", 1)
                self.assertEqual((run.code, run.err), (0, ""))
                (record,) = server.received()
            self.assertEqual(record["error"], "")
            self.assertIn(leaf, [sample["stack"] for sample in record["profile"]["samples"]])

    def test_no_two_profiles_begin_in_the_same_millisecond(self):
        # Two of one series would be one to Pyroscope 1.x and to Parca.
        for prefix in "", "parca+":
            with Receiver() as server:
                run = Pushed(prefix + server.url, *["--push"] * 30, "--until-sent", 30)
                self.assertEqual(run.code, 0, run.err)
                self.assertEqual(len({r["profile"]["time_nanos"] // 1_000_000 for r in server.accepted()}), 30)

    def test_equal_programs_of_two_machines_are_two_series(self):
        for prefix in "", "parca+":
            with Receiver() as server:
                for host in "one", "other":
                    run = Pushed(prefix + server.url, *IDENTITY, "--resource", f"host.name={host}", "--push", "--until-sent", 1)
                    self.assertEqual((run.code, run.err), (0, ""))
                run = Pushed(prefix + server.url, "--identity", "host=mine", "--resource", "host.name=one", "--push", "--until-sent", 1)
                self.assertEqual([r["labels"]["host"] for r in server.accepted()], ["one", "other", "mine"])
        with Receiver() as server:
            Pushed("otlp+" + server.url, "--resource", "host.name=one", "--push", "--until-sent", 1)
            (record,) = server.accepted()
            self.assertEqual(record["labels"]["host.name"], "one")
            self.assertNotIn("host", record["labels"])

    def test_two_servers_get_it_both(self):
        with Receiver() as one, Receiver() as other:
            run = Pushed(f"{one.url} parca+{other.url}", "--push", "--until-sent", 2, "--stats")
            self.assertEqual(run.code, 0, run.err)
            self.assertEqual(stacks_of(one.accepted()[0]["profile"]), STACKS)
            self.assertEqual(stacks_of(other.accepted()[0]["profile"]), STACKS)

    def test_a_label_of_many_values_makes_no_series(self):
        for prefix in "", "parca+":
            with Receiver() as server:
                run = Pushed(prefix + server.url, "--threads", 100, "--push", "--until-sent", 1, "--stats")
                self.assertEqual((run.code, run.stats["sent"]), (0, 1), run.err)
                (record,) = server.accepted()
                self.assertNotIn("thread", record["labels"])
                self.assertFalse(any("thread" in (s["labels"] or {}) for s in record["profile"]["samples"]))
                self.assertEqual(stacks_of(record["profile"]), {k: 100 * v for k, v in STACKS.items()})

    def test_names_and_values_that_no_server_takes_are_mended(self):
        hostile = ["--identity", "a-b c=1", "--identity", "a_b_c=2", "--identity", "__name__=evil",
                   "--identity", "empty=", "--identity", "9lives=x", "--identity", "long=" + "é" * 2000,
                   "--identity", 'quote="\\\n\t']
        hostile += [w for i in range(40) for w in ("--identity", f"more{i}=x")]
        for prefix in "", "parca+":
            with Receiver() as server:
                run = Pushed(prefix + server.url, *hostile, "--push", "--until-sent", 1)
                self.assertEqual(run.code, 0, run.err)
                (record,) = server.received()
                self.assertEqual(record["error"], "")
                labels = record["labels"]
                self.assertEqual((labels["__name__"], labels["a_b_c"], labels["_9lives"]), ("process_cpu", "1", "x"))
                self.assertNotIn("empty", labels)
                self.assertEqual(set(labels["long"]), {"é"})
                self.assertEqual(labels["quote"], '"\\\n\t')
                self.assertLessEqual(len(labels), 30)

    def test_a_large_profile_arrives_in_parts_and_whole(self):
        with Receiver() as server:
            run = Pushed(server.url, "--samples", 20000, "--pad", 150, "--push", "--flush", 20000, "--stats")
            self.assertEqual(run.code, 0, run.err)
            records = server.received()
            self.assertEqual([r["error"] for r in records if r["error"]], [])
            self.assertGreater(len(records), 2)
            total = {}
            for record in records:
                self.assertLessEqual(record["bytes"], 1_500_000)
                self.assertLessEqual(len(record["profile"]["samples"]), 8000)
                for stack, value in stacks_of(record["profile"]).items():
                    self.assertNotIn(stack, total)
                    total[stack] = value
        self.assertEqual(len(total), 20003)
        self.assertEqual(sum(total.values()), sum(STACKS.values()) + 20000 * 10_000_000)
        self.assertEqual(run.stats["sent"], len(records))


class Headers(unittest.TestCase):
    def one(self, *words, prefix=""):
        with Receiver() as server:
            run = Pushed(prefix + server.url, *words, "--push", "--until-sent", 1)
            self.assertEqual(run.code, 0, run.err)
            return server.received()[0]["headers"]

    def test_basic(self):
        want = "Basic " + base64.b64encode(b"me:pa:ss").decode()
        self.assertEqual(self.one("--auth", "basic:me:pa:ss")["Authorization"], want)

    def test_bearer_and_tenant(self):
        headers = self.one("--auth", "bearer:t0ken", "--tenant", "team-a")
        self.assertEqual((headers["Authorization"], headers["X-Scope-Orgid"]), ("Bearer t0ken", "team-a"))

    def test_several_and_for_one_family(self):
        auth = "header:X-Extra: yes\nparca+bearer:other\npyroscope+bearer:mine"
        self.assertEqual(self.one("--auth", auth)["Authorization"], "Bearer mine")
        headers = self.one("--auth", auth, prefix="parca+")
        self.assertEqual((headers["Authorization"], headers["X-Extra"]), ("Bearer other", "yes"))

    def test_a_redirect_is_not_followed(self):
        with Receiver("redirect") as server:
            run = Pushed(server.url, "--auth", "bearer:t0ken", "--push", "--work", 500, "--stats")
            self.assertEqual(run.stats["upload_failed"], 1)
            self.assertIn("redirects to", run.err)
            self.assertEqual(len(server.received()), 1)

    def test_a_secret_that_a_server_repeats_is_not_logged(self):
        for auth, secret in ("bearer:t0ken-xyz", "t0ken-xyz"), ("basic:me:pa55word", base64.b64encode(b"me:pa55word").decode()):
            with Receiver("echo") as server:
                run = Pushed(server.url, "--auth", auth, "--push", "--work", 500)
                self.assertIn("answers 403", run.err)
                self.assertIn("check the setting auth", run.err)
                self.assertNotIn(secret, run.err)

    def test_a_proxy_is_asked(self):
        with Receiver() as proxy:
            run = Pushed("http://server.invalid:4040", "--proxy", proxy.url, "--push", "--until-sent", 1)
            self.assertEqual(run.code, 0, run.err)
            self.assertEqual(len(proxy.accepted()), 1)


class Otlp(unittest.TestCase):
    """The receiver resolves every index of what it gets and refuses what is out of range, twice, or pointed at by nobody."""

    def push(self, server, *words, sent=1):
        run = Pushed("otlp+" + server.url, *words, "--push", "--until-sent", sent, "--stats")
        self.assertEqual((run.code, run.err), (0, ""))
        records = server.received()
        self.assertEqual([r["error"] for r in records], [""] * sent)
        return records

    def test_the_receiver_sees_what_is_wrong(self):
        with Receiver() as server:
            url = server.url + "/v1development/profiles"
            post(url, otlp_message.request(), "application/x-protobuf")
            for what, wrong in otlp_message.WRONG.items():
                with self.assertRaises(urllib.error.HTTPError, msg=what):
                    post(url, otlp_message.request(**wrong), "application/x-protobuf")

    def test_a_file_holds_what_a_server_gets(self):
        mill = os.path.join(os.environ["DEEPPROF_BUILD"], "examples/mill")
        with Receiver() as server, tempfile.TemporaryDirectory() as folder:
            # One run writes the one form, the server gets the other.
            path = os.path.join(folder, "mill.otlp")
            env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_")}
            env.update(LD_PRELOAD=os.environ["DEEPPROF_BUILD"] + "/libdeepprof.so", DEEPPROF_OUTPUT=path, DEEPPROF_SERVICE="mill",
                       DEEPPROF_SERVER="otlp+" + server.url, DEEPPROF_LABELS="region=eu")
            done = subprocess.run([mill, "40"], env=env, capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            end = time.monotonic() + 15
            while not (os.path.exists(path) and server.received()) and time.monotonic() < end:
                time.sleep(0.05)
            with open(path, "rb") as file:
                post(server.url + "/v1development/profiles", file.read(), "application/x-protobuf")
            pushed, written = server.received()
        self.assertEqual((pushed["error"], written["error"]), ("", ""))
        for record in pushed, written:
            self.assertEqual((record["labels"]["service.name"], record["labels"]["region"]), ("mill", "eu"))
            self.assertEqual(record["labels"]["process.executable.name"], "mill")
            self.assertRegex(record["labels"]["process.pid"], r"^int \d+$")
            self.assertIn("runtime=native", record["profile"]["comments"])
            self.assertTrue([name for name in record["profile"]["build_ids"] if name.endswith("/mill")])
        self.assertEqual(stacks_of(pushed["profile"]), stacks_of(written["profile"]))
        self.assertGreater(sum(stacks_of(pushed["profile"]).values()), 40)

    def test_it_is_one_profile_of_periods_with_all_that_is_known(self):
        with Receiver() as server:
            (record,) = self.push(server, *IDENTITY, "--resource", "process.pid=77", "--resource", "host.name=here",
                                  "--resource", "region=us", "--loss", "ring_full=3")
        self.assertEqual(record["path"], "/v1development/profiles")
        self.assertEqual((record["headers"]["Content-Type"], record["headers"]["Content-Encoding"]), ("application/x-protobuf", "gzip"))
        self.assertEqual(record["labels"], {"service.name": "demo", "process.runtime.name": "native", "region": "eu",
                                            "process.pid": "int 77", "host.name": "here", "otel.scope.name": "deepprof"})
        self.assertNotIn("more", record)
        profile = record["profile"]
        self.assertEqual(profile["types"], ["samples/count"])
        self.assertEqual((profile["period_type"], profile["period"]), ("cpu/nanoseconds", 10_000_000))
        self.assertEqual(profile["duration_nanos"], 10_000_000_000)
        self.assertEqual({k: v * profile["period"] for k, v in stacks_of(profile).items()}, STACKS)
        self.assertEqual(profile["build_ids"], {"/usr/bin/demo": "0123456789abcdef0123456789abcdef01234567"})
        sample = profile["samples"][0]
        self.assertEqual((sample["numbers"], sample["labels"]), ({"thread.id": [1000]}, {"thread.name": ["worker-0"]}))
        self.assertEqual(set(sample["frame_types"]), {"native"})
        self.assertEqual(profile["attributes"], {"deepprof.loss.ring_full": "int 3", "deepprof.loss.ring_full.cpu": "int 30000000"})

    def test_a_time_that_is_no_multiple_of_the_period_is_sent_as_it_is(self):
        with Receiver() as server:
            (record,) = self.push(server, "--odd", 1)
        both = [record["profile"], *record["more"]]
        self.assertEqual([p["types"] for p in both], [["cpu/nanoseconds"], ["samples/count"]])
        self.assertEqual(stacks_of(both[0]), {k: v + 1 for k, v in STACKS.items()})
        self.assertEqual({k: v * 10_000_000 for k, v in stacks_of(both[1]).items()}, STACKS)

    def test_frames_of_each_runtime_say_so_and_one_function_is_one_location(self):
        with Receiver() as server:
            (record,) = self.push(server, "--managed", 2)
        found = [s for s in record["profile"]["samples"] if "cpython" in s["frame_types"]]
        self.assertEqual(len(found), 1)  # two addresses of one line: numbers of this agent alone
        self.assertEqual(found[0]["stack"], ["app.view app.py:7", "main demo.c:10"])
        self.assertEqual(found[0]["frame_types"], ["cpython", "native"])
        self.assertEqual(found[0]["values"], [2])

    def test_a_span_becomes_a_link(self):
        trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        with Receiver() as server:
            (record,) = self.push(server, "--label", "trace_id=" + trace, "--label", "span_id=" + span)
        self.assertEqual({s["link"] for s in record["profile"]["samples"]}, {trace + "/" + span})
        self.assertFalse([s for s in record["profile"]["samples"] if {"trace_id", "span_id"} & set(s["labels"])])
        with Receiver() as server:  # half of it is no link, and not lost either
            (record,) = self.push(server, "--label", "span_id=" + span)
        self.assertEqual({s["labels"]["span_id"][0] for s in record["profile"]["samples"]}, {span})

    def test_labels_of_many_values_stay(self):
        with Receiver() as server:
            (record,) = self.push(server, "--threads", 100)
        names = {s["labels"]["thread.name"][0] for s in record["profile"]["samples"]}
        self.assertEqual(len(names), 100)

    def test_two_labels_of_one_name_are_one_attribute(self):
        with Receiver() as server:
            (record,) = self.push(server, "--label", "thread.name=x")
        self.assertEqual(len(record["profile"]["samples"][0]["labels"]), 1)

    def test_a_large_profile_arrives_in_parts_and_whole(self):
        with Receiver() as server:
            run = Pushed("otlp+" + server.url, "--samples", 20000, "--pad", 150, "--push", "--flush", 20000, "--stats")
            self.assertEqual(run.code, 0, run.err)
            records = server.received()
        self.assertEqual([r["error"] for r in records if r["error"]], [])
        self.assertGreater(len(records), 2)
        total = {}
        for record in records:
            total.update(stacks_of(record["profile"]))
        self.assertEqual(len(total), 20003)
        self.assertEqual(sum(total.values()) * 10_000_000, sum(STACKS.values()) + 20000 * 10_000_000)

    def test_a_whole_path_is_taken_as_it_is(self):
        for path, asked in (("/own/v1/profiles", "/own/v1/profiles"), ("/", "/v1development/profiles"),
                            ("/v1development/profiles/", "/v1development/profiles")):
            with Receiver() as server:
                run = Pushed("otlp+" + server.url + path, "--push", "--until-sent", 1)
                self.assertEqual((run.code, server.received()[0]["path"]), (0, asked))

    def test_what_is_kept_in_part_is_not_tried_again(self):
        with Receiver("partial") as server:
            run = Pushed("otlp+" + server.url, "--push", "--work", 1500, "--stats")
            self.assertEqual(len(server.received()), 1)
        self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (0, 0, 1))
        self.assertIn("takes the request but not the profile: no room for it; it is given up", run.err)

    def test_only_what_the_protocol_names_is_tried_again(self):
        for word, tries in (("429", 2), ("502", 2), ("503", 2), ("504", 2), ("retryafter", 2), ("500", 1), ("501", 1),
                            ("400", 1), ("408", 1), ("413", 1)):
            with Receiver(word) as server:
                run = Pushed("otlp+" + server.url, "--push", "--work", 2500 if word == "retryafter" else 900, "--stats")
                self.assertEqual((word, len(server.received())), (word, tries))
                self.assertEqual((run.stats["sent"], run.stats["upload_failed"], run.stats["queued"]), (tries - 1, 2 - tries, 0))


class Failures(unittest.TestCase):
    def assert_delivered_once(self, server, count):
        ids = [r["id"] for r in server.accepted()]
        self.assertEqual(len(ids), count)
        self.assertEqual(len(set(ids)), count)

    def test_down_at_start(self):
        port = free_port()
        tool = subprocess.Popen([TOOL, f"http://127.0.0.1:{port}", "--push", "--push", "--push", "--signal", "--stats",
                                 "--until-sent", "3", "--stats"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        tool.stdout.readline()
        time.sleep(1)
        with Receiver(options=["-addr", f"127.0.0.1:{port}"]) as server:
            out, err = tool.communicate("\n", timeout=30)
            self.assertEqual(tool.returncode, 0, err)
            self.assert_delivered_once(server, 3)
        self.assertIn("cannot be reached", err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn('"breaker_opened":1', out.splitlines()[-1])
        self.assertIn('"upload_failed":0', out.splitlines()[-1])

    def test_down_in_the_middle_and_back(self):
        with Receiver() as server:
            tool = subprocess.Popen([TOOL, server.url, "--push", "--until-sent", "1", "--signal", "--push", "--push",
                                     "--work", "700", "--signal", "--until-sent", "3", "--stats"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            tool.stdout.readline()
            first = server.accepted()
            server.stop()
            tool.stdin.write("\n")
            tool.stdin.flush()
            tool.stdout.readline()
            server.start()
            out, err = tool.communicate("\n", timeout=30)
            self.assertEqual(tool.returncode, 0, err)
            self.assertEqual(len(first), 1)
            self.assert_delivered_once(server, 2)
            self.assertNotIn(first[0]["id"], [r["id"] for r in server.accepted()])
            self.assertIn('"sent":3', out)

    def passing(self, word, times=2, kinds=("", "parca+")):
        for prefix in kinds:
            with Receiver(*[word] * times) as server:
                run = Pushed(prefix + server.url, "--push", "--until-sent", 1, "--stats")
                self.assertEqual(run.code, 0, run.err)
                self.assertEqual((run.stats["sent"], run.stats["retried"]), (1, times))
                self.assertEqual(len(server.accepted()), 1)
                self.assertEqual(len(server.received()), times + 1)

    def lasting(self, word, tries, said=None, kinds=("", "parca+")):
        """A fault that stays: that many tries, then given up and counted, and the next profile still arrives."""
        for prefix in kinds:
            with Receiver(*[word] * tries) as server:
                run = Pushed(prefix + server.url, "--timeout", 200, "--push", "--work", 50, "--push",
                             "--until-sent", 1, "--flush", 10000, "--stats")
                self.assertEqual(run.code, 0, run.err)
                stats = run.stats
                self.assertEqual((stats["upload_failed"] + stats["sent"], stats["queued"]), (2, 0))
                if tries == 1:
                    self.assertEqual((stats["sent"], stats["retried"]), (1, 0))
                if said:
                    self.assertIn(said, run.err)
            with Receiver(word + "*") as server:
                run = Pushed(prefix + server.url, "--timeout", 200, "--push", "--flush", 20000, "--stats")
                self.assertEqual(run.stats["upload_failed"], 1)
                self.assertEqual(len(server.received()), tries)

    def test_429_passes(self):
        self.passing("429")

    def test_503_passes(self):
        self.passing("503", times=6)

    def test_a_server_that_comes_up_is_waited_for(self):
        self.passing("comingup", times=8, kinds=("",))

    def test_500_passes_at_first(self):
        self.passing("500", times=3)

    def test_500_for_ever_is_given_up(self):
        self.lasting("500", 4, "answers 500")

    def test_413_is_given_up_at_once(self):
        self.lasting("413", 1, "answers 413")

    def test_429_for_its_size_is_given_up_at_once(self):
        self.lasting("toolarge", 1, "larger than", kinds=("",))

    def test_404_is_given_up_and_explained(self):
        self.lasting("404", 1, "check the setting server")

    def test_slow(self):
        self.lasting("slow", 4, "timed out")

    def test_garbage(self):
        self.lasting("garbage", 4, "not HTTP")

    def test_a_short_answer(self):
        self.lasting("truncated", 4, "broke off", kinds=("",))

    def test_reset(self):
        self.passing("reset", times=3)
        self.lasting("reset", 4, "broke off")

    def test_an_answer_without_end(self):
        self.lasting("endless", 4, "without end")
        self.lasting("headers", 4, "broke off")

    def test_a_portal_that_says_200_to_everything(self):
        self.lasting("portal", 4, "is no ")

    def test_retry_after_is_respected(self):
        with Receiver("retryafter") as server:
            start = time.monotonic()
            run = Pushed(server.url, "--backoff-most", 5000, "--push", "--until-sent", 1)
            self.assertEqual(run.code, 0, run.err)
            self.assertGreater(time.monotonic() - start, 1)

    def test_one_that_never_passes_does_not_stand_before_the_others(self):
        with Receiver("500", "ok", "500", "ok", "500", "ok", "500") as server:
            run = Pushed(server.url, *["--push"] * 4, "--flush", 10000, "--stats")
            self.assertEqual(run.stats["sent"] + run.stats["upload_failed"], 4)
            self.assertGreaterEqual(run.stats["sent"], 3)
            self.assertEqual(len(server.accepted()), run.stats["sent"])

    def test_a_dead_server_does_not_starve_the_other(self):
        with Receiver() as server:
            run = Pushed(f"http://127.0.0.1:1 {server.url}", "--bytes", 4000, *["--push", "--work", "30"] * 10, "--stats")
            self.assertEqual(len(server.accepted()), 10)
            self.assertEqual(run.stats["sent"], 10)
            self.assertGreater(run.stats["queue_full"], 0)
            self.assertEqual(run.stats["queue_full"] + run.stats["queued"], 10)

    def test_the_oldest_is_given_up(self):
        run = Pushed("http://127.0.0.1:1", "--age", 2, "--push", "--work", 2300, "--stats")
        self.assertEqual((run.stats["upload_failed"], run.stats["queued"]), (1, 0))

    def test_a_profile_of_yesterday_is_not_sent(self):
        with Receiver() as server:
            run = Pushed(server.url, "--ago", 7200, "--push", "--work", 200, "--stats")
            self.assertEqual((run.stats["upload_failed"], run.stats["queued"]), (1, 0))
            self.assertEqual(server.received(), [])


class Bounds(unittest.TestCase):
    def test_a_full_queue_drops_the_newest_and_counts_it(self):
        run = Pushed("http://127.0.0.1:1", "--bytes", 5000, *["--push"] * 20, "--stats")
        stats = run.stats
        self.assertEqual(stats["pushed"] + stats["queue_full"], 20)
        self.assertEqual(stats["queued"], stats["pushed"])
        self.assertGreater(stats["pushed"], 2)
        self.assertGreater(stats["queue_full"], 2)
        self.assertLessEqual(stats["queued_bytes"], 5000)
        self.assertEqual(run.err.count("is full"), 1)

    def test_a_dead_slow_or_lying_server_costs_the_queue_and_no_more(self):
        queue = 2 << 20
        with Receiver("slow*") as slow, Receiver("endless*") as lying:
            for url in "http://127.0.0.1:1", slow.url, lying.url:
                few = Pushed(url, "--bytes", queue, "--timeout", 300, *["--push", "--work", "10"] * 3, "--work", 300, "--rss")
                many = Pushed(url, "--bytes", queue, "--timeout", 300, "--samples", 3000, "--pad", 20,
                              *["--push", "--work", "10"] * 60, "--work", 300, "--rss", "--stats")
                self.assertLessEqual(many.stats["queued_bytes"], queue)
                # The encoder's own memory, taken and given back, is a few times a profile of 200 KB.
                self.assertLess(int(many.lines[0]) - int(few.lines[0]), queue // 1024 + 6 * 1024, url)

    def test_flush_is_bounded(self):
        with Receiver("slow*") as server, Deaf() as deaf:
            for url in server.url, "http://127.0.0.1:1", deaf.url:
                run = Pushed(url, "--push", "--push", "--flush", 700, "--stats")
                flushed = run.json[0]
                self.assertEqual(flushed["left"], run.stats["queued"])
                self.assertEqual(flushed["left"], 2)
                self.assertTrue(650 <= flushed["ms"] < 900, flushed)

    def test_flush_ends_when_all_is_delivered(self):
        with Receiver("delay") as server:
            run = Pushed(server.url, "--push", "--flush", 20000)
            self.assertEqual(run.json[0]["left"], 0)
            self.assertLess(run.json[0]["ms"], 3000)

    def test_many_at_once_share_a_slow_server(self):
        with Receiver(*["delay"] * 30) as server:
            start = time.monotonic()
            run = Pushed(server.url, *["--push"] * 30, "--until-sent", 30, "--stats")
            self.assertEqual((run.code, run.stats["sent"]), (0, 30), run.err)
            self.assertLess(time.monotonic() - start, 30 * 0.3 / 2)

    def test_the_breaker_opens_and_closes(self):
        with Receiver("503*") as server:
            tool = subprocess.Popen([TOOL, server.url, "--backoff", "50", "--backoff-most", "1000", *["--push"] * 10, "--work",
                                     "3000", "--signal", "--until-sent", "10", "--stats"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            tool.stdout.readline()
            asked = len(server.received())
            server.script()
            out, err = tool.communicate("\n", timeout=30)
            self.assertEqual(tool.returncode, 0, err)
            # Ten uploads that wait 0.5 s on average would ask 60 times; an open breaker lets one through a time.
            self.assertLess(asked, 25)
            self.assertEqual(len(server.accepted()), 10)
            self.assertIn('"breaker_opened":1', out)


class Deaf:
    """An address where connecting never ends: its queue of connections is full."""

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.callers = [socket.socket() for _ in range(4)]
        for caller in self.callers:
            caller.setblocking(False)
            caller.connect_ex(self.listener.getsockname())
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        return self

    def __exit__(self, *_):
        for one in [self.listener, *self.callers]:
            one.close()


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        for name, subject in ("good", "IP:127.0.0.1"), ("other", "DNS:other.invalid"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-keyout", f"{cls.folder.name}/{name}.key", "-out", f"{cls.folder.name}/{name}.pem", "-days", "2",
                            "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}"], check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def server(self, name):
        return TlsReceiver(options=["-cert", f"{self.folder.name}/{name}.pem", "-key", f"{self.folder.name}/{name}.key"])

    def test_an_authority_that_is_named_is_trusted(self):
        with self.server("good") as server:
            run = Pushed(server.url, "--ca", f"{self.folder.name}/good.pem", "--push", "--until-sent", 1)
            self.assertEqual((run.code, run.err), (0, ""))

    def test_an_unknown_authority_is_not(self):
        with self.server("good") as server:
            run = Pushed(server.url, "--push", "--work", 1000, "--stats")
            self.assertEqual((run.stats["sent"], run.stats["queued"]), (0, 1))
            self.assertIn("is not trusted", run.err)
            self.assertIn("by the setting ca", run.err)
            self.assertEqual(run.err.count("\n"), 1)

    def test_a_certificate_of_another_host_is_not(self):
        with self.server("other") as server:
            run = Pushed(server.url, "--ca", f"{self.folder.name}/other.pem", "--push", "--work", 500, "--stats")
            self.assertEqual(run.stats["sent"], 0)
            self.assertIn("is not trusted", run.err)


class TlsReceiver(Receiver):
    def received(self):
        raise NotImplementedError("read by the tool's own counters")


class BadValues(unittest.TestCase):
    def test_each_is_one_sentence_that_names_it_and_what_is_right(self):
        for server, words, named in (
                ("ftp://x", [], "ftp://x"), ("http://", [], "no host"), ("http://h:0", [], "port"), ("http://h:99999", [], "port"),
                ("http://me:hunter2@", [], "no host"), ("http://h/?x=1", [], "? or #"), ("http://[::1", [], "IPv6"),
                ("http://::1:4040", [], "IPv6"), ("otlp+http://h?x", [], "? or #"), ("otlp+ftp://h", [], "otlp+ftp"), ("datadog+http://h", [], "yet"),
                ("", [], "no URL"), ("localhost:4040", [], "localhost:4040"), (" ".join(["http://h"] * 9), [], "at most 8"),
                ("http://h", ["--auth", "hunter2"], "basic:USER:PASS"), ("http://h", ["--auth", "basic:hunter2"], "basic:USER:PASS"),
                ("http://h", ["--auth", "header:X Y:hunter2"], "header:NAME:VALUE"),
                ("http://h", ["--auth", "bearer:hunter2\r"], "bearer:TOKEN"), ("http://h", ["--tenant", "a\nb"], "tenant"),
                ("http://h", ["--ca", "/no/such"], "/no/such"), ("http://h", ["--key", __file__], "cert"),
                ("http://h", ["--proxy", "ftp://p"], "ftp")):
            run = Pushed(server, *words)
            self.assertEqual(run.code, 4, server)
            self.assertEqual(len(run.lines), 1, server)
            self.assertIn(named, run.out)
            self.assertNotIn("hunter2", run.out)
            if server != "http://h":
                self.assertIn("right is", run.out) if "at most" not in run.out else None


if __name__ == "__main__":
    built("receiver")
    program = unittest.main(verbosity=2, exit=False)
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
