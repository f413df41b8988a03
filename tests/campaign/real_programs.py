#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs under deepprof: every stack walked twice, every second accounted for, every byte of output compared.

real_programs.py [--short] [--results FILE] [--page FILE] [--keep FOLDER] [NAME...]
  --short    few programs, those that every build machine has, with little work: the test
  --results  keeps the figures there, a line of JSON a program; a program that runs again replaces its line
  --page     writes the table of all results into that file, between its marks
  --keep     leaves profiles, outputs and the agents' logs there"""
import argparse
import json
import os
import shutil
import sys
import tempfile

import measure
from languages import LANGUAGES
from servers import SERVERS
from tools import TOOLS

PROGRAMS = SERVERS + TOOLS + LANGUAGES
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def accounted(figures):
    return (figures["weight_s"] + figures["lost_s"]) / figures["cpu_s"] if figures["cpu_s"] else 0.0


def show(figures):
    print(f"{figures['program']:16} {figures['samples']} samples, {figures['verified']} verified ({figures['short_copies']} in part), "
          f"{figures['mismatched']} mismatched; {figures['cpu_s']:.2f} s of CPU time, {accounted(figures):.4f} accounted for "
          f"(without us {figures['plain_cpu_s']:.2f} s, agent {figures['agent_cpu_s']:.2f} s); not whole {figures['cut']:.2%}, "
          f"one frame {figures['single']:.2%}, frames without a name {figures['unnamed']:.1%}; {figures['processes']} processes, "
          f"status {figures['status']}, same {figures['same']}, lost {figures['losses']}", flush=True)


def faults(figures):
    """What must not be, program by program."""
    out = [f"{part} differs" for part, is_same in figures["same"].items() if not is_same]
    if figures["mismatched"] > figures["verified"] / 1000:
        out.append(f"{figures['mismatched']} of {figures['verified']} stacks differ from libunwind's")
    # The kernel looks at a process's CPU clock once a jiffy: those that live no longer leave no trace, and their
    # time is nobody's. Programs that are many of them are only counted.
    if figures["long"] >= 0.95 and not 0.98 <= accounted(figures) <= 1.01:
        out.append(f"{accounted(figures):.4f} of the CPU time accounted for")
    return out


def row(figures):
    losses = ", ".join(f"{name} {count}" + (f" ({weight / 1e6:.0f} ms)" if weight else "")
                       for name, (count, weight) in sorted(figures["losses"].items(), key=lambda item: -item[1][0])
                       if name != "no_symbol")
    same = ", ".join(part for part, is_same in figures["same"].items() if not is_same)
    rate = figures["mismatched"] / figures["verified"] if figures["verified"] else 0
    return (f"| {figures['program'].replace('|', '&#124;')} | {figures['version'][:60]} | {figures['processes']} | {figures['cpu_s']:.1f} | {figures['samples']} "
            f"| {figures['verified']} ({figures['short_copies']}) | {figures['mismatched']} | {rate:.3%} | {accounted(figures):.4f} "
            f"| {1 - figures['cut']:.1%} | {losses or '–'} | {'yes' if not same else 'no: ' + same} |")


def page(path, results):
    lines = ["| program | version | processes | CPU s | samples | stacks verified (in part) | mismatches | rate | (weight + lost) / CPU "
             "| whole stacks | losses | output, stderr, status the same |", "|" + "---|" * 12]
    lines += [row(figures) for figures in results.values()]
    total = {key: sum(figures[key] for figures in results.values()) for key in ("samples", "verified", "short_copies", "mismatched", "cpu_s")}
    lines.append(f"| **all {len(results)}** | | | {total['cpu_s']:.0f} | {total['samples']} | **{total['verified']}** ({total['short_copies']}) "
                 f"| **{total['mismatched']}** | {total['mismatched'] / max(total['verified'], 1):.4%} | | | | |")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + tail)


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--short", action="store_true")
    options.add_argument("--results")
    options.add_argument("--page")
    options.add_argument("--keep")
    options.add_argument("names", nargs="*")
    chosen = options.parse_args()
    results, bad, verified = {}, [], 0
    if chosen.results and os.path.exists(chosen.results):
        with open(chosen.results, encoding="utf-8") as file:
            results = {line["program"]: line for line in map(json.loads, file)}
    folder = chosen.keep or tempfile.mkdtemp(prefix="deepprof-campaign-")
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o755)
    for program in PROGRAMS:
        if chosen.names and program.name not in chosen.names or chosen.short and not program.short:
            continue
        if chosen.page and not chosen.names:
            continue
        if not program.is_here():
            print(f"{program.name}: not on this machine")
            continue
        where = os.path.join(folder, "".join(c for c in program.name if c.isalnum() or c in "+-"))
        os.makedirs(where, exist_ok=True)
        figures = measure.measure(program, where, chosen.short)
        show(figures)
        for fault in faults(figures):
            bad.append(program.name)
            print(f"FAIL {program.name}: {fault}", flush=True)
        verified += figures["verified"]
        results[program.name] = figures
        if chosen.results:
            with open(chosen.results, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in results.values())
    if chosen.page:
        page(chosen.page, results)
    if chosen.short and verified < 1500:
        bad.append("too few stacks were verified")
        print(f"FAIL {verified} stacks were verified")
    if not chosen.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
