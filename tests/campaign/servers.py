# SPDX-License-Identifier: Apache-2.0
"""Servers under load. The load generators' rates differ from run to run; what must be the same is what clients then read."""
import hashlib
import os
import shutil
import signal
import subprocess

import measure
from program import Server, client, words


class Redis(Server):
    def __init__(self):
        super().__init__("redis-server", ["redis-server", "redis-benchmark", "redis-cli"], "redis-server --version",
                         changing=rb"\d+")

    def command(self, folder):
        return ["redis-server", "--port", str(self.port), "--save", "", "--io-threads", "2", "--io-threads-do-reads", "yes",
                "--loglevel", "warning", "--lua-time-limit", "0"]

    def ask(self, *words_):
        return client("redis-cli", "-p", str(self.port), *words_)

    def drive(self, folder):
        for tests in ("set,get,incr,lpush,rpop,sadd,hset,spop,zadd,zpopmin,mset", "lrange_100,lrange_600"):
            client("redis-benchmark", "-p", str(self.port), "-q", "-n", "50000", "-c", "20", "-P", "16", "-r", "20000", "-t", tests)
        self.ask("flushall")
        seen = b""
        for i in range(60):
            self.ask("eval", "for i = 1, 300 do local k = ARGV[1] * 300 + i; redis.call('zadd', 'z', k * 7919 % 1009, k); "
                     "redis.call('hset', 'h' .. k % 50, k, string.rep('x', k % 40)); redis.call('rpush', 'l', k) end return 1", "0", str(i))
        for question in (["zrange", "z", "100", "140", "withscores"], ["sort", "l", "desc", "limit", "5", "9"], ["hlen", "h7"],
                         ["zinterstore", "y", "2", "z", "z"], ["debug", "digest"]):
            seen += self.ask(*question)
        # Figures are masked in what the server prints, not in this.
        return hashlib.sha256(seen).hexdigest().translate(str.maketrans("0123456789", "ghijklmnop")).encode()


class Nginx(Server):
    stop = signal.SIGQUIT

    def __init__(self):
        super().__init__("nginx", ["nginx", "curl"], "nginx -v", changing=rb"[\d/:]+ [\d:]+|\d+")
        self.tls_port = self.port + 1 if self.port < 65535 else self.port - 1

    def prepare(self, folder, is_short=False):
        words(folder, lines=20000)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{folder}/key", "-out", f"{folder}/cert",
                        "-subj", "/CN=localhost", "-days", "2"], stderr=subprocess.DEVNULL, check=True)

    def command(self, folder):
        with open(os.path.join(folder, "conf"), "w", encoding="utf-8") as file:
            file.write(f"""daemon off; user root; worker_processes 2; pid {folder}/pid; error_log stderr error; events {{ worker_connections 200; }}
http {{ access_log off; gzip on; gzip_comp_level 6; gzip_types *; keepalive_requests 100000;
server {{ listen 127.0.0.1:{self.port}; root {folder}/../in; location /r {{ rewrite ^/r(.)(.)*$ /words last; }} }}
server {{ listen 127.0.0.1:{self.tls_port} ssl; ssl_certificate {folder}/../in/cert; ssl_certificate_key {folder}/../in/key;
root {folder}/../in; }} }}""")
        return ["nginx", "-p", folder, "-e", "stderr", "-c", os.path.join(folder, "conf")]

    def drive(self, folder):
        plain, secret = f"http://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.tls_port}"
        sums = set()
        loads = [["curl", "-sS", "--parallel", "--parallel-max", "8", "--compressed", "-o", "/dev/null", f"{plain}/words?[1-400]"],
                 ["curl", "-sSk", "-o", "/dev/null", f"{secret}/words?[1-300]"]]
        running = [subprocess.Popen(load, env=measure.plain_environment(), stderr=subprocess.DEVNULL) for load in loads]
        for _ in range(100):
            sums.add(hashlib.sha256(client("curl", "-sSk", f"{secret}/words", "--compressed")).hexdigest())
        status = [process.wait() for process in running]
        return repr((sorted(sums), status)).encode() + client("curl", "-sS", f"{plain}/nothing", f"{plain}/rxy", "-o", "/dev/null",
                                                               "-w", "%{http_code} %{size_download}\n")


class Postgres(Server):
    """initdb is a program of its own; then a postmaster, its helpers and a process per connection."""
    stop = signal.SIGINT

    def __init__(self):
        super().__init__("postgres", ["postgres", "initdb", "pgbench", "setpriv"], "postgres --version", changing=rb".*\d.*")

    def as_nobody(self, *command):
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]

    def command(self, folder):
        data = os.path.join(folder, "data")
        os.makedirs(data)
        shutil.chown(data, "nobody", "nogroup")
        os.chmod(data, 0o700)
        return ["/bin/sh", "-c", 'initdb -D "$1" -A trust -N >/dev/null && exec postgres -D "$1" -h 127.0.0.1 -p "$2" -k "" '
                "-c log_min_messages=fatal -c jit=off -c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0 "
                "-c parallel_setup_cost=0 -c fsync=off -c log_min_error_statement=fatal", "sh", data, str(self.port)]

    def run(self, folder, env):
        inner = self.command(folder)
        self.command = lambda _: self.as_nobody(*inner)
        try:
            return super().run(folder, env)
        finally:
            del self.command

    def drive(self, folder):
        connection = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "nobody"]
        client("pgbench", "-i", "-q", "-s", "4", *connection, "postgres")
        client("pgbench", "-c", "4", "-j", "2", "-t", "1500", "--random-seed=7", *connection, "postgres")
        client("pgbench", "-S", "-M", "prepared", "-c", "4", "-t", "8000", "--random-seed=8", *connection, "postgres")
        client("pgbench", "-C", "-S", "-c", "2", "-t", "150", "--random-seed=9", *connection, "postgres")
        seen = b""
        for sql in ("select sum(abalance), sum(bid), count(*) from pgbench_accounts", "select sum(tbalance) from pgbench_tellers",
                    "select sum(delta), count(*) from pgbench_history",
                    "select count(*), sum(length(md5(a.aid::text || b.filler))) from pgbench_accounts a join pgbench_accounts b on a.aid = b.aid + 7",
                    "select sum(regexp_count(md5(i::text), '[a-f]{2}')), avg(sqrt(i))::text from generate_series(1, 150000) i",
                    "select count(*) from (select jsonb_build_object('a', aid, 'b', array[bid, aid]) j from pgbench_accounts) t where (j->'b'->>1)::int % 3 = 1"):
            seen += client("psql", "-XAt", *connection, "-c", sql, "postgres")
        return hashlib.sha256(seen).hexdigest().translate(str.maketrans("0123456789", "ghijklmnop")).encode()


SERVERS = [Redis(), Nginx(), Postgres()]
