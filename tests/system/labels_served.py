#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A labelled program in a real Parca or Pyroscope: its labels select the functions that ran under them."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["DEEPPROF_SOURCE"], "tests/support"))
from pprof_file import Profile  # noqa: E402
from servers import SOURCE, Parca, Pyroscope, profiled  # noqa: E402
from support import check, done, scratch  # noqa: E402

FUNCTIONS = {"plain", "red", "red_large", "blue_large", "large"}
EXPECTED = {
    "": FUNCTIONS,
    ',colour="red"': {"red", "red_large"},
    ',colour="blue"': {"blue_large"},
    ',size="large"': {"red_large", "blue_large", "large"},
    ',colour="red",size="large"': {"red_large"},
    ',colour="green"': set(),
}


def in_parca(server, selector):
    path = os.path.join(server.folder, "answer.pb.gz")
    with open(path, "wb") as file:
        file.write(server.pprof("process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta" + selector))
    return {name for sample in Profile(path).samples for name in sample.stack}


def in_pyroscope(server, selector):
    stacks = server.stacks("process_cpu:cpu:nanoseconds:cpu:nanoseconds", selector)
    return {frame.rsplit(" ", 1)[0] for stack in stacks for frame in stack}


which, ask = {"parca": (Parca, in_parca), "pyroscope": (Pyroscope, in_pyroscope)}[sys.argv[1]]
host = os.path.join(scratch(), "label_host")
subprocess.run(["gcc", "-std=gnu11", "-O2", "-g", "-pthread", "-I", os.path.join(SOURCE, "include"), "-o", host,
                os.path.join(SOURCE, "tests", "system", "label_host.c")], check=True)
with which() as server:
    service = f"labelled-{os.getpid()}"
    profiled([host, "colours"], ("parca+" if which is Parca else "") + server.url, service, scratch())
    end = time.monotonic() + 15
    while not FUNCTIONS <= ask(server, f'{{service_name="{service}"}}') and time.monotonic() < end:
        time.sleep(0.3)
    for labels, functions in EXPECTED.items():
        seen = ask(server, f'{{service_name="{service}"{labels}}}')
        check(f"{labels[1:] or 'no label'} selects {functions or 'nothing'}", seen & FUNCTIONS == functions, seen)
done()
