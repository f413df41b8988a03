#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs under deepprof: every stack walked twice, every second accounted for, every byte of output compared.

real_programs.py [--short] [--results FILE] [--page FILE] [NAME...]
  --short    a few small ones that every build machine has: the test
  --results  keep figures there, a line of JSON a program; programs named again replace their line
  --page     write the table for docs/VERIFIED.md"""
import argparse
import json
import os
import sys
import tempfile

import measure
from languages import LANGUAGES
from servers import SERVERS
from tools import TOOLS

PROGRAMS = SERVERS + TOOLS + LANGUAGES


def show(figures):
    same = "".join(part[3 if part[0] == "s" else 0] if ok else "-" for part, ok in figures["same"].items())
    accounted = (figures["weight_s"] + figures["lost_s"]) / figures["cpu_s"] if figures["cpu_s"] else 0
    print(f"{figures['program']:16} {figures['samples']:7} samples {figures['verified']:6} verified "
          f"({figures['short_copies']} short) {figures['mismatched']} mismatched; cpu {figures['cpu_s']:.2f} s "
          f"(plain {figures['plain_cpu_s']:.2f}, agent {figures['agent_cpu_s']:.2f}), accounted {accounted:.4f}; "
          f"cut {figures['cut']:.2%}, single {figures['single']:.2%}, unnamed {figures['unnamed']:.1%}; "
          f"{figures['processes']} processes, status {figures['status']}, same {figures['same']}", flush=True)
    print("    losses:", {k: v[0] if not v[1] else (v[0], v[1] / 1e9) for k, v in figures["losses"].items()}, flush=True)
    del same


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--short", action="store_true")
    options.add_argument("--results")
    options.add_argument("--page")
    options.add_argument("--keep", default=None)
    options.add_argument("names", nargs="*")
    chosen = options.parse_args()
    results = {}
    if chosen.results and os.path.exists(chosen.results):
        with open(chosen.results, encoding="utf-8") as file:
            results = {line["program"]: line for line in map(json.loads, file)}
    folder = chosen.keep or tempfile.mkdtemp(prefix="deepprof-campaign-")
    for program in PROGRAMS:
        if chosen.names and program.name not in chosen.names:
            continue
        if not program.is_here():
            print(f"{program.name}: not here")
            continue
        where = os.path.join(folder, program.name.replace(" ", "").replace("/", ""))
        os.makedirs(where, exist_ok=True)
        figures = measure.measure(program, where)
        show(figures)
        results[program.name] = figures
        if chosen.results:
            with open(chosen.results, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in results.values())


if __name__ == "__main__":
    sys.exit(main())
