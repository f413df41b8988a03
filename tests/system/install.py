#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cmake --install into a prefix, into DESTDIR, and moved afterwards: programs compile, link and run against what is
there, and the manual pages say what the code does."""
import os
import re
import shutil
import subprocess

from support import BUILD, SOURCE, check, done, environment, run, scratch, collapsed, share, wait_for

where = scratch()
HOST = os.path.join(SOURCE, "tests", "system", "install_host.c")


def install(*arguments, **more):
    result = run(["cmake", "--install", BUILD, *arguments], env={**os.environ, **more})
    check(f"cmake --install {' '.join(arguments)}", result.returncode == 0, result.stderr.decode())


def files(root):
    return sorted(os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names)


def find(root, name):
    return next((os.path.join(root, f) for f in files(root) if os.path.basename(f) == name), "")


def pkg_config(root, *arguments):
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(find(root, "deepprof.pc"))}
    env.pop("PKG_CONFIG_SYSROOT_DIR", None)
    return subprocess.run(["pkg-config", *arguments, "deepprof"], env=env, stdout=subprocess.PIPE,
                          check=False).stdout.decode().split()


def sampled(name, command, directory, preload=None, **settings):
    env = environment(output="p.pb.gz", **settings)
    del env["LD_PRELOAD"]
    if preload:
        env["LD_PRELOAD"] = preload
    result = run(command, env=env, cwd=directory)
    path = os.path.join(directory, "p.pb.gz")
    stacks = collapsed(path) if wait_for(path) else {}
    check(f"{name}: ends as it would", result.returncode == 0 and not result.stderr, result.stderr)
    check(f"{name}: has a profile that names it", share(stacks, "^busy$") > 0.5, stacks)
    return result.stdout.decode().split()


def used_from(name, root):
    cflags, libs = pkg_config(root, "--cflags"), pkg_config(root, "--libs")
    preload = "".join(pkg_config(root, "--variable=preload"))
    check(f"{name}: pkg-config names the library", os.path.realpath(preload) ==
          os.path.realpath(find(root, "libdeepprof.so")), preload)
    check(f"{name}: its version", pkg_config(root, "--modversion") == ["0.1.0"], pkg_config(root, "--modversion"))
    for compiler, more in (("gcc", ["-std=gnu99"]), ("g++", ["-std=gnu++11", "-x", "c++"])):
        strict = [compiler, *more, "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2", "-g", HOST, *cflags]
        plain, linked = (os.path.join(where, f"{n}_{compiler}") for n in ("plain", "linked"))
        built = run([*strict, "-o", plain])
        check(f"{name}: {compiler} with the header alone", built.returncode == 0, built.stderr.decode())
        # Debian's linker keeps what nobody needs, Ubuntu's does not: as the latter.
        built = run([*strict, "-o", linked, "-Wl,--as-needed", *(["-x", "none"] if more[-1] == "c++" else []), *libs,
                     f"-Wl,-rpath,{os.path.dirname(preload)}"])
        check(f"{name}: {compiler} linked", built.returncode == 0, built.stderr.decode())
        check(f"{name}: {compiler}, linked, started", sampled(f"{name}, linked, {compiler}", [linked], scratch()) ==
              ["0.1.0", "0", "0"])
        check(f"{name}: {compiler}, preloaded", sampled(f"{name}, preloaded, {compiler}", [plain], scratch(), preload)
              == ["0.1.0", "0", "0"])
    sampled(f"{name}, agent=thread", [plain], scratch(), preload, agent="thread")
    directory = scratch()
    env = environment()
    del env["LD_PRELOAD"]
    result = run([find(root, "deepprof"), "run", "-o", "run.pb.gz", "--", plain], env=env, cwd=directory)
    check(f"{name}: deepprof run", result.returncode == 0 and b"busy" in result.stderr, result.stderr)


EXPECTED = ["bin/deepprof", "deepprof/deepprof-agent", "deepprof/libdeepprof-agent.so", "include/deepprof.h",
            "libdeepprof.so", "man1/deepprof.1", "man7/deepprof.7", "pkgconfig/deepprof.pc"]
prefix = os.path.join(where, "prefix")
install("--prefix", prefix)
seen = files(prefix)
check("everything is there", all(any(f.endswith(e) for f in seen) for e in EXPECTED), seen)
check("and nothing else but the licence", len(seen) == len(EXPECTED) + 1, seen)
used_from("prefix", prefix)

moved = os.path.join(where, "elsewhere", "moved")
os.mkdir(os.path.dirname(moved))
shutil.move(prefix, moved)
used_from("moved", moved)

staged = os.path.join(where, "stage")
install(DESTDIR=staged)
seen_staged = [re.sub(r"^usr/local/", "", f) for f in files(staged)]
check("DESTDIR holds the same", sorted(seen_staged) == seen, files(staged))

# The manual.
env = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
for page in ("deepprof.1", "deepprof.7"):
    path = os.path.join(SOURCE, "packaging", page)
    result = run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path], env=env)
    check(f"{page}: man has no warning", result.returncode == 0 and not result.stderr, result.stderr.decode())
    result = run(["mandoc", "-T", "lint", path])
    complaints = [line for line in result.stdout.decode().splitlines() if "referenced manual not found" not in line]
    check(f"{page}: mandoc has no complaint", not complaints, complaints)
    text = run(["man", "-E", "UTF-8", "-l", path], env=env).stdout.decode()
    check(f"{page}: renders", len(text.splitlines()) > 40 and "NAME" in text, len(text))

page = open(os.path.join(SOURCE, "packaging", "deepprof.7"), encoding="utf-8").read()


def items(section):
    body = re.search(rf"^\.Sh {section}\n(.*?)(?=^\.Sh )", page, re.M | re.S)[1]
    return re.findall(r"^\.It Cm (\S+)", body, re.M)


def source(path):
    return open(os.path.join(SOURCE, path), encoding="utf-8").read()


# What the parser knows, by what it answers: --help lists its table, and an unknown key is refused.
usage = run([os.path.join(BUILD, "deepprof"), "run", "--help"]).stdout.decode()
keys = re.findall(r"^  --(\w+)", usage, re.M)
check("the parser's table", len(keys) > 20, usage)
check("each of its settings is in deepprof.7, and no other", sorted(items("SETTINGS")) == sorted(keys),
      set(items("SETTINGS")) ^ set(keys))
for alias in sorted(set(re.findall(r"\b(?:PYROSCOPE|OTEL|DD)_[A-Z_]+\b", source("base/settings_hook.c")))):
    pattern = alias if not re.fullmatch(r"DD_PROFILING_\w*ENABLED", alias) or f".Ev {alias}" in page else \
        "DD_PROFILING_*_ENABLED"
    check(f"{alias} is in deepprof.7", f".Ev {pattern}" in page)
losses = re.findall(r'XX\(\w+, "(\w+)"', source("base/drop.h"))
check("each loss is in deepprof.7, and no other", sorted(items("LOSSES")) == sorted(losses),
      set(items("LOSSES")) ^ set(losses))
commands = re.findall(r'\{"(\w+)", dp_cli_', source("cli/main.c"))
described = re.findall(r"^\.It Cm (\w+)$", source("packaging/deepprof.1"), re.M)
check("each command is in deepprof.1", commands and set(commands) <= set(described), (commands, described))
done()
