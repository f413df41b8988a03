#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gunicorn and Flask, preloaded, pushed to a real Pyroscope: what its query API says of functions, lines, CPU time and labels
against what each request measured itself."""
import collections
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from servers import SOURCE, Pyroscope, free_port, get, skip  # noqa: E402
from support import check, done, scratch  # noqa: E402

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
HERE = os.path.join(SOURCE, "tests/system")
FOLDER = scratch()
ENDPOINTS = {"/sort": "flask_app.bubble", "/json": "json.", "/hash": ""}
REQUESTS, WORKERS = 40, 2


def environment_with_flask():
    """A Python that has Flask and gunicorn: PYTHON_WITH_FLASK, or made here by pip."""
    python = os.environ.get("PYTHON_WITH_FLASK")
    if python:
        return python
    folder = os.path.join(FOLDER, "venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    if subprocess.run([f"{folder}/bin/pip", "install", "-q", "flask", "gunicorn"], stderr=subprocess.DEVNULL).returncode:
        skip("no Flask to be had")
    return f"{folder}/bin/python"


def serve(python, server, service):
    port = free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_")}
    env.update(LD_PRELOAD=os.environ["DEEPPROF_BUILD"] + "/libdeepprof.so", DEEPPROF_SERVER=server, DEEPPROF_SERVICE=service,
               DEEPPROF_LABELS="region=eu", PYTHONPATH=f"{SOURCE}/runtimes/python:{HERE}")
    log = open(os.path.join(FOLDER, "gunicorn.log"), "w")
    process = subprocess.Popen([python, "-m", "gunicorn", "-w", str(WORKERS), "-b", f"127.0.0.1:{port}", "flask_app:app"], env=env,
                               stdout=log, stderr=log, cwd=FOLDER)
    return process, f"http://127.0.0.1:{port}"


def ask_all(url):
    """{endpoint: CPU nanoseconds}, as the requests say."""
    used = collections.Counter()
    end = time.monotonic() + 60
    while True:
        try:
            used["/hash"] += json.loads(get(url + "/hash"))["ns"]
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = [path for path in ENDPOINTS for _ in range(REQUESTS)]
        for path, answer in zip(paths, pool.map(lambda path: json.loads(get(url + path, timeout=60)), paths)):
            used[path] += answer["ns"]
    return used


with Pyroscope() as server:
    python = environment_with_flask()
    version = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:3], sep='.')"], capture_output=True, text=True).stdout.strip()
    service = f"flask-{os.getpid()}"
    process, url = serve(python, server.url, service)
    try:
        used = ask_all(url)
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
    finally:
        process.kill()
    with open(os.path.join(FOLDER, "gunicorn.log")) as file:
        log = file.read()
    check(f"gunicorn on CPython {version} ends as it does", status == 0 and "Traceback" not in log and "deepprof:" not in log, log[-2000:])
    asked = lambda endpoint="": sum(server.stacks(CPU, f'{{service_name="{service}",region="eu"{endpoint}}}').values())
    end, before, now = time.monotonic() + 20, -1, 0
    while time.monotonic() < end and (not now or now != before):
        time.sleep(1.5)
        before, now = now, asked()
    for endpoint, function in ENDPOINTS.items():
        stacks = server.stacks(CPU, f'{{service_name="{service}",endpoint="{endpoint}"}}')
        got, truth = sum(stacks.values()), used[endpoint]
        print(f"     {endpoint}: measured {truth / 1e6:.0f} ms, profiled {got / 1e6:.0f} ms, {100 * got / truth:.1f} %")
        # 10 ms a sample: a request's label begins and ends between two.
        check(f"{endpoint}: its label holds its CPU time", abs(got - truth) < 0.05 * truth + 30e6, (got, truth))
        frames = {frame for stack in stacks for frame in stack}
        check(f"{endpoint}: under Flask's frames", any(frame.startswith("flask.app.Flask.wsgi_app ") for frame in frames), sorted(frames)[:40])
        if function:
            inside = sum(value for stack, value in stacks.items() if any(frame.startswith(function) for frame in stack))
            check(f"{endpoint}: in {function}", inside > 0.9 * got, inside / max(got, 1))
    lines = collections.Counter()
    for stack, value in server.stacks(CPU, f'{{service_name="{service}",endpoint="/sort"}}').items():
        if stack[0].startswith("flask_app.bubble "):
            lines[stack[0]] += value
    with open(os.path.join(HERE, "flask_app.py")) as file:
        text = file.read().splitlines()
    loop = {i + 1 for i, line in enumerate(text) if "for i in range(end)" in line or "values[i]" in line}
    at_loop = sum(value for frame, value in lines.items() if int(frame.rsplit(":", 1)[1]) in loop)
    check("/sort: its lines are those of the inner loop", at_loop > 0.95 * sum(lines.values()) > 0, lines)
    check("/sort: in its file", all(os.path.join(HERE, "flask_app.py") in frame for frame in lines), list(lines))
done()
