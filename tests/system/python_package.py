#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python package, by every Python that is found: python3* in PATH, ~/.pyenv/versions, the commands that
DEEPPROF_PYTHONS lists (separated by ":"; for libraries such as uvloop, trio and gevent the Python of a venv that has
them). python_package_host.py is the program that runs there."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

from pprof_file import Profile
from support import BUILD, LIBRARY, SOURCE, check, done, run, scratch, wait_for

HERE = os.path.join(SOURCE, "tests", "system")
HOST = os.path.join(HERE, "python_package_host.py")
PACKAGE = os.path.join(SOURCE, "runtimes", "python")
ABOUT = """import json, sys, importlib.util as u
print(json.dumps([list(sys.version_info[:3]), sys.executable,
                  [m for m in ("uvloop", "trio", "gevent") if u.find_spec(m)]]))"""

where = scratch()
# The sources alone: neither pip nor Python is to write into the tree.
shutil.copytree(PACKAGE, os.path.join(where, "python"), ignore=shutil.ignore_patterns("*.c", "*.h", "__pycache__"))
PACKAGE = os.path.join(where, "python")


def pythons():
    """(name, command, modules there)"""
    commands = [c for c in os.environ.get("DEEPPROF_PYTHONS", "").split(":") if c]
    commands += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python3")))
    for folder in os.environ.get("PATH", "").split(":"):
        commands += sorted(c for c in glob.glob(folder + "/python3*") if re.search(r"/python3(\.\d+t?)?$", c))
    found = {}
    for command in commands:
        try:
            about = subprocess.run([command, "-c", ABOUT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60,
                                   check=True)
            version, executable, modules = json.loads(about.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        if version >= [3, 8]:
            folder = os.path.realpath(os.path.dirname(executable))
            found.setdefault((tuple(version), folder), (command, modules))
    return [("%d.%d.%d " % version + folder, command, modules)
            for (version, folder), (command, modules) in sorted(found.items())]


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DEEPPROF_") and k not in ("LD_PRELOAD", "PYTHONHOME")}
    return {**env, "PYTHONPATH": PACKAGE, "PYTHONDONTWRITEBYTECODE": "1", **more}


def claims(name, command, part, **more):
    """Runs a part of the host; its claims are ours. Returns what it wrote to stderr."""
    directory = scratch()
    try:
        result = run([command, HOST, part], env=environment(**more), cwd=directory)
    except subprocess.TimeoutExpired as error:
        check(f"{name}: {part} ends", False, error.stderr)
        return ""
    lines = result.stdout.decode().splitlines()
    for line in lines:
        state, _, rest = line.partition("\t")
        text, _, seen = rest.partition("\t")
        if state in ("ok", "FAIL"):
            check(f"{name}: {text}", state == "ok", seen)
        elif state == "#":
            print(f"     {name}: {text} {seen}")
    check(f"{name}: {part} runs to its end", result.returncode == 0 and lines[-1:] == ["end"],
          (result.returncode, result.stderr.decode()[-1500:]))
    return result.stderr.decode()


def preloaded(name, command, part, **more):
    errors = claims(name, command, part, TEST_PRELOAD=LIBRARY,
                    **{"DEEPPROF_OUTPUT": os.path.join(where, "unused.pb.gz"), **more})
    check(f"{name}: {part} says nothing on stderr", not errors, errors[:500])


def absent(name, command):
    errors = claims(name, command, "absent", PATH="/usr/bin:/bin:/usr/sbin:/sbin")
    check(f"{name}: one line says that there is no library", len(errors.splitlines()) == 1 and
          errors.startswith("deepprof: libdeepprof.so was not found, nothing is profiled ("), errors)


def opens(name, command, how, **more):
    output = os.path.join(scratch(), "p.pb.gz")
    errors = claims(f"{name}, {how}", command, "opens", TEST_OUTPUT=output, TEST_VERSION="0.1.0", **more)
    lines = errors.splitlines()
    check(f"{name}, {how}: it says what was wrong, in a line each", len(lines) == 2 and "not read" in lines[0] and
          "rate" in lines[1], errors)
    there = wait_for(output)
    labels = [comment for comment in Profile(output).comments if "env" in comment] if there else []
    check(f"{name}, {how}: there is a profile", there and sum(s.values[0] for s in Profile(output).samples) > 20, labels)


BURNER = os.path.join(where, "burner.so")
NAMES = ("red", "green", "blue", "thread", "child", "none")
BURNED = (*NAMES, "yellow")  # that one in Python
with open(os.path.join(where, "burner.c"), "w", encoding="utf-8") as source:
    source.write("#include <time.h>\n")
    for one in NAMES:
        source.write(f"""volatile int after_{one};
void burn_{one}(int ms)
{{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	const long long end = now.tv_sec * 1000000000LL + now.tv_nsec + ms * 1000000LL;
	do {{
		for (int i = 0; i < 2000; i++)
			after_{one} += i;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	}} while (now.tv_sec * 1000000000LL + now.tv_nsec < end);
}}
""")
built = run(["gcc", "-shared", "-fPIC", "-O1", "-g", "-fno-ipa-icf", "-o", BURNER, os.path.join(where, "burner.c")])
check("the burner compiles", built.returncode == 0, built.stderr.decode())


def profile(name, command):
    """Each sample of burn_red has the label name=red and no other; what burns in burn_none has none."""
    output = os.path.join(scratch(), "p.pb.gz")
    preloaded(name, command, "profile", TEST_BURNER=BURNER, DEEPPROF_OUTPUT=output, DEEPPROF_RATE="500")
    if not wait_for(output):
        check(f"{name}: there is a profile", False)
        return
    counts, wrong = {}, {}
    for sample in Profile(output).samples:
        burned = [f.rpartition("burn_")[2] for f in sample.stack if re.search(r"(^|\.)burn_[a-z]+$", f)]
        own = {k: v for k, v in sample.labels.items() if k not in ("thread", "tid", "python.gil", "python.task")}
        function = burned[0] if burned else "else"
        wanted = {} if function == "none" else {"name": function}
        counts[function] = counts.get(function, 0) + sample.values[0]
        if burned and own != wanted or not burned and own not in [{"name": n} for n in BURNED] + [{}]:
            wrong[function, str(own)] = wrong.get((function, str(own)), 0) + sample.values[0]
    check(f"{name}: in the profile label and function always agree", not wrong, wrong)
    check(f"{name}: each function is in the profile", all(counts.get(n, 0) > 20 for n in BURNED), counts)
    print(f"     {name}: samples {counts}")


def install(name, command):
    """pip install ./runtimes/python into a venv, where the package is then found without any help."""
    venv = os.path.join(scratch(), "venv")
    env = environment()
    del env["PYTHONPATH"]
    if run([command, "-m", "venv", venv], env=env).returncode:
        print(f"skip {name}: pip install: this Python makes no venv")
        return
    # A wrapper's Python may be at another place for us: venv's python is asked by the wrapper.
    python = os.path.join(venv, "bin", "python3")
    try:
        asked = run([python, "-c", "import sys; print(sys.version_info[:2])"], env=env)
    except OSError:
        asked = None
    if asked is None or asked.returncode:
        print(f"skip {name}: pip install: the venv's Python does not start by itself")
        return
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    installed = run(pip + [PACKAGE], env=env)
    if installed.returncode and re.search(rb"No matching distribution found for setuptools|ConnectionError|"
                                          rb"Temporary failure|Could not find a version", installed.stderr):
        print(f"     {name}: no package index: built with the setuptools that is there")
        installed = run(pip + ["--no-build-isolation", PACKAGE], env=env)
        if installed.returncode and re.search(rb"[Nn]o module named '?setuptools|Cannot import 'setuptools", installed.stderr):
            print(f"skip {name}: pip install: no package index, and no setuptools in a new venv")
            return
    check(f"{name}: pip install", installed.returncode == 0, installed.stderr.decode()[-800:])
    used = run([python, "-c", "import deepprof, os, importlib.metadata as m; print(deepprof.__version__, "
                "m.version('deepprof'), os.path.exists(os.path.join(os.path.dirname(deepprof.__file__), 'py.typed')), "
                "deepprof.__file__)"], env={**env, "LD_PRELOAD": LIBRARY, "DEEPPROF_ENABLED": "false"}, cwd=where)
    check(f"{name}: is installed", used.stdout.decode().startswith("0.1.0 0.1.0 True " + venv), (used.stdout, used.stderr))


with open(os.path.join(SOURCE, "CMakeLists.txt"), encoding="utf-8") as lists:
    version = re.search(r"project\(deepprof VERSION (\S+)", lists.read())[1]
with open(os.path.join(PACKAGE, "pyproject.toml"), encoding="utf-8") as project:
    check("the package's version is the library's", f'version = "{version}"' in project.read())

found = pythons()
if not found:
    print("no Python to test")
    sys.exit(77)
only = sys.argv[1:]
for python, command, modules in found:
    if only and not any(one in python for one in only):
        continue
    # First use needs a process of its own.
    for part in ["first", "plain", "generators", "by_hand", "threads", "loops", *modules, *(["gevent_patched"] if "gevent" in modules else [])]:
        preloaded(python, command, part)
    absent(python, command)
    profile(python, command)
    opens(python, command, "named", DEEPPROF_LIBRARY=LIBRARY)
    install(python, command)

# How it is found is the same for all.
python, command, modules = found[-1]
opens(python, command, "beside the command", PATH=BUILD + ":/usr/bin:/bin:/usr/sbin:/sbin")
opens(python, command, "where the loader looks", LD_LIBRARY_PATH=BUILD, PATH="/usr/bin:/bin:/usr/sbin:/sbin")
done()
