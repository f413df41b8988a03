#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The way out: certificates of both sides, proxies and who needs none, redirects; and no secret on any of them."""
import base64
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import Pushed, Receiver, built  # noqa: E402

BUILD = os.environ["DEEPPROF_BUILD"]


class Proxy:
    """An HTTP proxy that writes down what it was asked; CONNECT goes wherever it is told to."""

    def __init__(self, user=None):
        self.user = user
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return
            data += more
        head, rest = data.split(b"\r\n\r\n", 1)
        head = head.decode()
        self.heads.append(head)
        wanted = "Proxy-Authorization: Basic " + base64.b64encode(self.user.encode()).decode() if self.user else ""
        if wanted not in head:
            client.sendall(b"HTTP/1.1 407 no\r\nContent-Length: 0\r\nRetry-After: 50\r\nConnection: close\r\n\r\n")
            client.close()
            return
        method, target, _ = head.split("\r\n")[0].split(" ")
        if method == "CONNECT":
            host, port = target.split(":")
            server = socket.create_connection((host, int(port)))
            client.sendall(b"HTTP/1.1 200 established\r\n\r\n" + b"")
            server.sendall(rest)
        else:
            host, port = target.split("/")[2].split(":")
            server = socket.create_connection((host, int(port)))
            path = "/" + target.split("/", 3)[3]
            lines = [f"{method} {path} HTTP/1.1"] + [l for l in head.split("\r\n")[1:] if not l.startswith("Proxy-")]
            server.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + rest)
        for one, other in (client, server), (server, client):
            threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def certificate(folder, name, *more):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                    f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", "-days", "2", "-subj", f"/CN={name}", *more],
                   check=True, capture_output=True)


class Ways(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = cls.temporary.name
        certificate(cls.folder, "server", "-addext", "subjectAltName=IP:127.0.0.1")
        certificate(cls.folder, "client")
        certificate(cls.folder, "stranger")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def tls(self, *more):
        return Receiver(options=["-cert", f"{self.folder}/server.pem", "-key", f"{self.folder}/server.key", *more])

    def identity(self, name):
        return ["--cert", f"{self.folder}/{name}.pem", "--key", f"{self.folder}/{name}.key"]

    # ---- certificates ----

    def test_a_client_s_certificate_opens_the_door(self):
        with self.tls("-clients", f"{self.folder}/client.pem") as server:
            run = Pushed(server.url, "--ca", f"{self.folder}/server.pem", *self.identity("client"), "--push", "--until-sent", 1)
            self.assertEqual((run.code, run.err), (0, ""))

    def test_without_it_or_with_another_s_profiles_wait_and_the_cause_is_said(self):
        with self.tls("-clients", f"{self.folder}/client.pem") as server:
            for words in [], self.identity("stranger"):
                run = Pushed(server.url, "--ca", f"{self.folder}/server.pem", *words, "--push", "--work", 2500, "--stats")
                # Now and then the server's word is lost behind its reset, after the request was written.
                self.assertEqual((run.stats["sent"], run.stats["queued"] + run.stats["upload_failed"]), (0, 1), run.err)
                self.assertLessEqual(run.err.count("\n"), 3, run.err)
                self.assertIn("settings cert and key", run.err)

    def test_a_key_that_does_not_fit_its_certificate_is_said(self):
        with self.tls() as server:
            run = Pushed(server.url, "--ca", f"{self.folder}/server.pem", "--cert", f"{self.folder}/client.pem", "--key",
                         f"{self.folder}/stranger.key", "--push", "--work", 500, "--stats")
            self.assertEqual((run.stats["sent"], run.stats["queued"], run.err.count("\n")), (0, 1, 1), run.err)

    def test_the_wrong_authority_is_not_trusted(self):
        with self.tls() as server:
            run = Pushed(server.url, "--ca", f"{self.folder}/stranger.pem", "--auth", "bearer:hunter2", "--push", "--work", 500, "--stats")
            self.assertEqual((run.stats["sent"], run.stats["queued"]), (0, 1))
            self.assertIn("is not trusted", run.err)
            self.assertNotIn("hunter2", run.err)

    # ---- proxies ----

    def test_http_goes_by_its_proxy_whose_password_the_server_never_sees(self):
        with Receiver() as server, Proxy("me:hunter2") as proxy:
            run = Pushed(server.url, "--proxy", f"http://me:hunter2@{proxy.address}", "--auth", "bearer:t0ken", "--push", "--until-sent", 1)
            self.assertEqual((run.code, run.err), (0, ""))
            self.assertTrue(proxy.heads[0].startswith(f"POST {server.url}/push.v1"), proxy.heads)
            (record,) = server.accepted()
            self.assertNotIn("Proxy-Authorization", record["headers"])
            self.assertEqual(record["headers"]["Authorization"], "Bearer t0ken")

    def test_https_goes_through_a_tunnel_whose_proxy_never_sees_the_token(self):
        with self.tls() as server, Proxy() as proxy:
            run = Pushed(server.url, "--ca", f"{self.folder}/server.pem", "--https-proxy", proxy.address, "--proxy", "http://127.0.0.1:1",
                         "--auth", "bearer:t0ken", "--tenant", "t1", "--push", "--until-sent", 1)
            self.assertEqual((run.code, run.err), (0, ""))
            self.assertTrue(proxy.heads[0].startswith("CONNECT " + server.url.split("://")[1]), proxy.heads)
            self.assertNotIn("t0ken", "".join(proxy.heads))
            self.assertNotIn("X-Scope-OrgID", "".join(proxy.heads))

    def test_who_needs_no_proxy_gets_none(self):
        for listed in "127.0.0.1", "example.com,127.0.0.1", "*":
            with Receiver() as server, Proxy() as proxy:
                run = Pushed(server.url, "--proxy", "http://" + proxy.address, "--no-proxy", listed, "--push", "--until-sent", 1)
                self.assertEqual((run.code, proxy.heads), (0, []))
        with Receiver() as server, Proxy() as proxy:
            run = Pushed(server.url, "--proxy", "http://" + proxy.address, "--no-proxy", "other.invalid", "--push", "--until-sent", 1)
            self.assertEqual((run.code, len(proxy.heads)), (0, 1))

    def test_a_proxy_that_refuses_or_is_dead_is_waited_for(self):
        with self.tls() as server, Proxy("me:hunter2") as proxy:
            for url in f"http://me:wr0ng@{proxy.address}", "http://me:wr0ng@127.0.0.1:1":
                run = Pushed(server.url, "--ca", f"{self.folder}/server.pem", "--https-proxy", url, "--push", "--work", 2500, "--stats")
                self.assertEqual((run.stats["sent"], run.stats["queued"], run.stats["upload_failed"]), (0, 1, 0), run.err)
                self.assertEqual(run.err.count("\n"), 1, run.err)
                self.assertIn("cannot be reached", run.err)
                self.assertNotIn("wr0ng", run.err)

    def test_the_program_s_own_environment_names_the_proxy(self):
        burn = "import time\nt=time.process_time()\nwhile time.process_time()-t<0.4: pass"
        for service, more, asked in ("by", {}, True), ("past", {"NO_PROXY": "127.0.0.1"}, False):
            with Receiver() as server, Proxy() as proxy:
                env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_") and "proxy" not in k.lower()}
                env.update(LD_PRELOAD=f"{BUILD}/libdeepprof.so", DEEPPROF_SERVER=server.url, DEEPPROF_SERVICE=service,
                           http_proxy="http://" + proxy.address, **more)
                done = subprocess.run([sys.executable, "-c", burn], env=env, capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                end = time.monotonic() + 15
                while time.monotonic() < end and not server.accepted():
                    time.sleep(0.1)
                self.assertEqual([r["labels"]["service_name"] for r in server.accepted()], [service])
                self.assertEqual(bool(proxy.heads), asked)

    # ---- redirects ----

    def test_a_redirect_takes_no_secret_along(self):
        with Receiver("redirect") as server:
            run = Pushed(server.url, "--auth", "bearer:hunter2", "--push", "--work", 500, "--stats")
            self.assertEqual((run.stats["sent"], run.stats["upload_failed"]), (0, 1))
            self.assertEqual([r["path"] for r in server.received()], ["/push.v1.PusherService/Push"])
            self.assertIn("redirects to", run.err)
            self.assertIn("/elsewhere", run.err)

    def test_nor_into_the_log(self):
        with Receiver("tellredirect") as server:
            run = Pushed(server.url, "--auth", "bearer:hunter2", "--push", "--work", 500, "--stats")
            self.assertEqual(run.stats["upload_failed"], 1)
            self.assertIn("redirects", run.err)
            self.assertNotIn("hunter2", run.err)

    # ---- the doctor ----

    def test_the_doctor_goes_the_same_way_and_tells_no_secret(self):
        with Receiver() as server, Proxy("me:hunter2") as proxy:
            env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_") and "proxy" not in k.lower()}
            env.update(DEEPPROF_SERVER=server.url, DEEPPROF_AUTH="bearer:hunter2", http_proxy=f"http://me:hunter2@{proxy.address}")
            done = subprocess.run([f"{BUILD}/deepprof", "doctor", "--", "/bin/true"], env=env, capture_output=True, text=True, timeout=60)
            self.assertIn("answers as Pyroscope does", done.stdout)
            self.assertTrue(proxy.heads)
            env["http_proxy"] = "http://me:hunter2@127.0.0.1:1"
            dead = subprocess.run([f"{BUILD}/deepprof", "doctor", "--", "/bin/true"], env=env, capture_output=True, text=True, timeout=60)
            self.assertIn("cannot be reached", dead.stdout)
            for text in done.stdout, done.stderr, dead.stdout, dead.stderr:
                self.assertNotIn("hunter2", text)


if __name__ == "__main__":
    built("receiver")
    program = unittest.main(verbosity=2, exit=False, warnings="ignore")
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun else 1)
