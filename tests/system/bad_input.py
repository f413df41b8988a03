#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is wrong is said in one clear line; the program runs on as it would. bad_input.py PROGRAM LIBRARY PLAIN_PROGRAM"""
import os
import random
import subprocess
import sys

from support import COMMAND, check, collapsed, done, environment, run, scratch, share, wait_for

PROGRAM, LIBRARY, BARE = sys.argv[1:]
OUT = b"done\n"


def same(what, result, out=OUT):
    check(f"{what}: the program's output and status are its own", (result.stdout, result.returncode) == (out, 7),
          (result.stdout, result.returncode, result.stderr))


def one_line(what, result, *words):
    lines = [line for line in result.stderr.decode().splitlines() if line.startswith("deepprof: ")]
    check(f"{what}: one line says it", len(lines) == 1 and all(w in lines[0] for w in words), (words, lines))


# Settings, on each way in.
where = scratch()
good = where + "/%n-%p.pb.gz"
for key, value, words in [("nosuch", "1", ["nosuch"]), ("rate", "abc", ["rate", "abc", "1 to 1000"]),
                          ("rate", "0", ["rate", "0", "1 to 1000"]), ("output", "x.doc", ["output", "x.doc", ".pb.gz"])]:
    settings = {"output": good}
    settings[key] = value
    result = run([PROGRAM, "plain"], env=environment(**settings), cwd=where)
    same(f"environment {key}={value}", result)
    one_line(f"environment {key}={value}", result, *[w.upper() if w == key else w for w in words])
    with open(where + "/conf", "w", encoding="utf-8") as file:
        file.write(f"# ours\n{key} = {value}\n")
    env = environment(config=where + "/conf", **({} if key == "output" else {"output": good}))
    result = run([PROGRAM, "plain"], env=env, cwd=where)
    same(f"file {key}={value}", result)
    one_line(f"file {key}={value}", result, "line 2", *words)
    env = environment()
    del env["LD_PRELOAD"]
    result = run([COMMAND, "run", "--" + key, value, "--", PROGRAM, "plain"], env=env, cwd=where)
    check(f"run --{key} {value}: refused before anything runs", result.returncode == 2 and not result.stdout, result)
    one_line(f"run --{key} {value}", result, *words)
result = run([PROGRAM, "plain"], env=environment(config=where + "/missing", output=good), cwd=where)
same("missing settings file", result)
one_line("missing settings file", result, "DEEPPROF_CONFIG", where + "/missing")

# Places to write to.
open(where + "/file", "w", encoding="utf-8").close()
for what, output in [("no such folder", where + "/none/x.pb.gz"), ("a file as a folder", where + "/file/x.pb.gz"),
                     ("a folder of the kernel's", "/proc/self/x.pb.gz"), ("a long name", where + "/" + "x" * 250 + ".pb.gz")]:
    result = run([PROGRAM, "plain"], env=environment(output=output), cwd=where)
    same(what, result)
    if what != "a folder of the kernel's" or os.geteuid() != 0:  # root may do all, access() says
        one_line(what, result, output[:200])

# A full disk, where somebody is trying us out: it is not said to be written.
if os.geteuid() == 0:
    small = scratch()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=False).returncode == 0:
        with open(small + "/fill", "wb") as file:
            try:
                file.write(b"x" * (1 << 20))
                file.flush()
            except OSError:
                pass
        try:
            result = run([PROGRAM, "plain"], env=environment(), cwd=small)
        finally:
            subprocess.run(["umount", small], check=False)
        same("full disk", result)
        one_line("full disk", result, "cannot write", "room")

# Damaged libraries: what the loader accepts, we live with.
original = open(LIBRARY, "rb").read()
sections = subprocess.run(["readelf", "-SW", LIBRARY], capture_output=True, check=True).stdout.decode()
places = {}
for line in sections.splitlines():
    words = line.replace("[ ", "[").split()
    if len(words) > 6 and words[0].startswith("[") and words[0] != "[Nr]":
        places[words[1]] = (int(words[4], 16), int(words[5], 16))
random.seed(7)


def damaged(name, change):
    data = bytearray(original)
    change(data)
    path = f"{where}/lib{name}.so"
    with open(path, "wb") as file:
        file.write(data)
    return path


def noise(section):
    def change(data):
        offset, size = places[section]
        for i in range(offset, offset + size):
            if random.random() < 0.3:
                data[i] = random.randrange(256)
    return change


def all_ones(section):
    def change(data):
        offset, size = places[section]
        data[offset:offset + size] = b"\xff" * size
    return change


def no_sections(data):
    data[0x28:0x30] = b"\xf0" * 8
    data[0x3a:0x40] = b"\xff" * 6


kinds = {f"{change.__name__} in {section}": (section.strip(".").replace(".", "_") + change.__name__, change(section))
         for section in [".eh_frame", ".eh_frame_hdr", ".symtab", ".strtab", ".note.gnu.build-id"]
         for change in (noise, all_ones) if section in places}
kinds["no section table"] = ("sections", no_sections)
for what, (name, change) in kinds.items():
    path = damaged(name, change)
    plain = subprocess.run([PROGRAM, "open", path], capture_output=True, timeout=60, check=False)
    result = run([PROGRAM, "open", path], env=environment(output=where + f"/{name}.pb.gz", rate=500), cwd=where)
    same(what, result, plain.stdout)
    check(f"{what}: nothing on stderr", not result.stderr, result.stderr)
    check(f"{what}: the agent lives to deliver", wait_for(where + f"/{name}.pb.gz", 30))
    stacks = collapsed(where + f"/{name}.pb.gz")
    check(f"{what}: the rest is named", share(stacks, "^work$") > 0.2, stacks)

# A program without unwind information: frame pointers or leaves, named.
result = run([BARE, "plain"], env=environment(output=where + "/bare.pb.gz", rate=500), cwd=where)
same("no .eh_frame", result)
check("no .eh_frame: nothing on stderr", not result.stderr, result.stderr)
check("no .eh_frame: a profile", wait_for(where + "/bare.pb.gz", 30))
check("no .eh_frame: named", share(collapsed(where + "/bare.pb.gz"), "^work$") > 0.9)

# A kernel that refuses timers.
result = run([PROGRAM, "without_timers", PROGRAM, "plain"], env=environment(output=good), cwd=where)
same("no timers", result)
one_line("no timers", result, "timer")

# No /proc.
if os.geteuid() == 0:
    script = 'umount -l /proc && exec "$@"'
    result = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", PROGRAM, "plain"], cwd=where, timeout=60,
                            env=environment(output=where + "/noproc.pb.gz"), capture_output=True, check=False)
    same("no /proc", result)
    one_line("no /proc", result, "/proc")
done()
