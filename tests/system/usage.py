#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command's manners: help on stdout, one clear line on stderr that names what is wrong, a shell's exit statuses."""
import os
import shutil
import subprocess

from support import COMMAND, check, done, environment, scratch

folder = scratch()
env = environment()
env.pop("LD_PRELOAD")


def call(*arguments, cwd=folder):
    ran = subprocess.run([COMMAND, *arguments], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


for words in (["--help"], ["-h"], *([command, option] for command in ("run", "report", "doctor") for option in ("-h", "--help"))):
    status, out, err = call(*words)
    check(f"deepprof {' '.join(words)}: usage on stdout, nothing else", status == 0 and out.startswith("usage: deepprof") and not err,
          (status, out, err))
status, out, err = call("--help")
check("the commands are listed", all(f"\n  {command} " in out for command in ("run", "report", "doctor")), out)
status, out, err = call("run", "--help")
check("run's help lists the settings", all(f"--{key} " in out for key in ("server", "rate", "output", "auth")), out)
for option in ("--version", "-V"):
    status, out, err = call(option)
    check(f"deepprof {option}", status == 0 and out.startswith("deepprof ") and out[9].isdigit() and out.count("\n") == 1 and not err, out)

for words, named in (
        ([], "no command"), (["walk"], "walk"), (["--walk"], "--walk"),
        (["run"], "no command"), (["run", "--"], "no command"), (["run", "-x", "true"], "-x"), (["run", "--speed", "9", "true"], "speed"),
        (["run", "--rate", "fast", "true"], "fast"), (["run", "--rate"], "--rate"), (["run", "-o"], "-o"),
        (["run", "-o", "a.txt", "true"], "a.txt"), (["run", "--rate=5"], "no command"),
        (["report"], "FILE"), (["report", "--top"], "FILE"), (["report", "--best", "x"], "--best"), (["report", "--diff"], "--diff"),
        (["report", "-o"], "-o"),
        (["doctor", "nginx"], "nginx"), (["doctor", "--"], "--"), (["doctor", "--all"], "--all"), (["doctor", "1", "2"], "2"),
        (["doctor", "0"], "0"), (["doctor", "-5"], "-5"), (["doctor", "12x"], "12x"), (["doctor", "99999999999"], "99999999999")):
    status, out, err = call(*words)
    check(f"deepprof {' '.join(words)}: one line that names {named}, 2",
          status == 2 and not out and err.count("\n") == 1 and err.startswith("deepprof: ") and named in err, (status, out, err))

missing = os.path.join(folder, "missing")
plain = shutil.copy("/etc/passwd", folder)
os.chmod(plain, 0o644)
for words, expected, named in (
        (["run", missing], 127, missing), (["run", "--", "deepprof-no-such-command"], 127, "deepprof-no-such-command"),
        (["run", plain], 126, plain), (["run", folder], 126, folder), (["report", missing], 1, missing), (["report", plain], 1, plain)):
    status, out, err = call(*words)
    check(f"deepprof {' '.join(words)}: one line that names it, {expected}",
          status == expected and not out and err.count("\n") == 1 and named in err, (status, out, err))
check("a command that cannot be started leaves nothing behind", os.listdir(folder) == ["passwd"], os.listdir(folder))
for words in (["sh", "-c", "exit 3"], ["sh", "-c", "exit 127"], ["sh", "-c", "kill -TERM $$"]):
    expected = subprocess.run(words).returncode
    expected = 128 - expected if expected < 0 else expected
    status, out, err = call("run", *words)
    check(f"run {' '.join(words)} ends with {expected}", status == expected, (status, err))
shutil.rmtree(folder)
done()
