#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What deepprof doctor says of a program is what happens when the program is run under the library; nothing that it
says of the machine, a process, a setting or a server is made up; and it starts nothing of the user's."""
import gzip
import http.server
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

from support import COMMAND, LIBRARY, check, done, scratch

FOLDER = scratch()
os.chmod(FOLDER, 0o755)
os.chdir(FOLDER)
IS_ROOT = os.geteuid() == 0
NOBODY = 65534

# An installation that every user may read.
INSTALLED = {}
for path in (COMMAND, LIBRARY, *(os.path.join(os.path.dirname(LIBRARY), name) for name in ("deepprof-agent", "libdeepprof-agent.so"))):
    INSTALLED[os.path.basename(path)] = shutil.copy(path, FOLDER)
DOCTOR = [os.path.join(FOLDER, "deepprof"), "doctor"]

BURN = """
#include <time.h>
#include <stdio.h>
#include <unistd.h>
volatile long x;
__attribute__((noinline)) void burn_here(void)
{
	while (clock() < CLOCKS_PER_SEC / 4)
		for (int i = 0; i < 100000; i++)
			x += i;
}
int main(int argc, char **argv)
{
	FILE *mark = fopen("was-run", "w");
	if (mark)
		fclose(mark);
	burn_here();
	for (; argc > 1; sleep(1))
		(void)argv;
	return 0;
}
"""
FILTER = """
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
/* filter NUMBER ANSWER [CMD ...]: that system call gets that answer; without a command it sleeps under the filter. */
int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, atoi(argv[1])},
		{BPF_RET | BPF_K, 0, 0, strtoul(argv[2], 0, 0)},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
	};
	struct sock_fprog program = {4, code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 99;
	if (argc > 3)
		execv(argv[3], argv + 3);
	puts("ready");
	fflush(stdout);
	sleep(600);
}
"""


def write(name, text, mode=0o755):
    with open(name, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)
    os.chmod(name, mode)
    return "./" + name


def build(name, *options, compiler="cc", source="burn.c"):
    subprocess.run([compiler, "-O1", "-o", name, source, *options], check=True)
    return "./" + name


def clean(**more):
    """The test's own environment without anything that a profiler would read."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DEEPPROF_", "PYROSCOPE_", "OTEL_", "DD_"))}
    env.pop("LD_PRELOAD", None)
    env.update(more)
    return env


class Finding:
    def __init__(self, line):
        match = re.fullmatch(r"(ok|warn|no) +(\S.*?) {2,}(.*)|(ok|warn|no) +(\S{11,}) (.*)", line)
        self.line = line
        self.standing, self.subject, self.text = [g for g in match.groups() if g is not None] if match else ("?", "?", line)


class Round:
    """One call of the doctor."""

    def __init__(self, *arguments, under=(), env=None, **more):
        ran = subprocess.run([*under, *DOCTOR, *map(str, arguments)], env=clean() if env is None else env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **more)
        self.status, self.out = ran.returncode, ran.stdout
        self.err = "".join(line for line in ran.stderr.splitlines(True) if "ld.so: object" not in line)
        self.findings = [Finding(line) for line in self.out.splitlines()]
        self.result = self.findings[-1].standing if self.findings else "?"

    def has(self, standing, subject, text=""):
        return any(f.standing == standing and f.subject == subject and re.search(text, f.text) for f in self.findings)

    def is_sound(self):
        """One line a finding; the last one and the exit status are the worst of them."""
        order = ["ok", "warn", "no"]
        known = all(f.standing in order for f in self.findings)
        return (known and self.findings and not self.err and self.findings[-1].subject == "result" and
                self.result == max((f.standing for f in self.findings), key=order.index) and
                self.status == (0 if self.result == "ok" else 1))


def says(round_, claim, *wanted):
    check(claim, round_.is_sound() and round_.has(*wanted), round_.out + round_.err)


def is_profiled(command, expected, env=None, under=(), **more):
    """Runs it under the library: does a profile come? expected: how long a wait is worth."""
    profile = os.path.join(FOLDER, "real.pb.gz")
    if os.path.exists(profile):
        os.unlink(profile)
    preload = INSTALLED["libdeepprof.so"]
    env = clean() if env is None else dict(env)
    env["LD_PRELOAD"] = env["LD_PRELOAD"] + ":" + preload if "LD_PRELOAD" in env else preload
    env["DEEPPROF_OUTPUT"] = profile
    subprocess.run([*under, *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, **more)
    end = time.monotonic() + (30 if expected else 2)
    while time.monotonic() < end and not os.path.exists(profile):
        time.sleep(0.05)
    if not os.path.exists(profile):
        return None
    return subprocess.run([COMMAND, "report", profile, "--collapsed"], stdout=subprocess.PIPE, text=True, check=True).stdout


def is_true(claim, command, *wanted, env=None, **more):
    """Says it, and what it says is what happens."""
    if os.path.exists("was-run"):
        os.unlink("was-run")
    round_ = Round("--", *command, env=env, **more)
    check(f"{claim}: nothing was started", not os.path.exists("was-run"))
    says(round_, f"{claim}: {wanted[0]} {wanted[1]}", *wanted)
    real = is_profiled(command, round_.result != "no", env=env, **more)
    check(f"{claim}: as it happens", (round_.result != "no") == (real is not None),
          f"profile: {real is not None}\n{round_.out}")
    return real


def skipped(what):
    print("skip " + what, flush=True)


write("burn.c", BURN, 0o644)
write("filter.c", FILTER, 0o644)
build("burn")
build("filter", source="filter.c")
children = []


def start(*command, env=None, **more):
    child = subprocess.Popen(command, env=clean() if env is None else env, stdout=subprocess.PIPE, text=True, **more)
    children.append(child)
    return child


# ---- this machine ----

def the_machine():
    machine = Round()
    check("each finding is one line, and the exit status follows from them", machine.is_sound(), machine.out + machine.err)
    says(machine, "a program of ours is profiled", "ok", "trial")
    release = os.uname().release
    says(machine, "the kernel is named", "ok", "kernel", re.escape(release))
    config = ""
    for path, opener in (("/proc/config.gz", gzip.open), (f"/boot/config-{release}", open)):
        if os.path.exists(path):
            config = opener(path, "rt").read()
            break
    hz = re.search(r"^CONFIG_HZ=(\d+)", config, re.M)
    if not hz:
        skipped("CONFIG_HZ: this kernel does not tell")
    else:
        fast = Round(env=clean(DEEPPROF_RATE="1000"))
        says(fast, "a rate above CONFIG_HZ is capped", "warn" if int(hz[1]) < 1000 else "ok", "rate", rf"\b{hz[1]}\b")


def limits():
    def lower(which, hard):
        return lambda: resource.setrlimit(which, (hard, hard))
    for which, claim, wanted in (
            (resource.RLIMIT_FSIZE, "RLIMIT_FSIZE 0", ("no", "limits", "RLIMIT_FSIZE is 0")),
            (resource.RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING 0", ("no", "timers", "SIGPENDING"))):
        if which == resource.RLIMIT_SIGPENDING or IS_ROOT:
            is_true(claim, ["./burn"], *wanted, preexec_fn=lower(which, 0))
    if IS_ROOT:
        os.chmod(FOLDER, 0o777)
        is_true("RLIMIT_NPROC 1", [os.path.join(FOLDER, "burn")], "no", "processes", "RLIMIT_NPROC is 1",
                user=NOBODY, group=NOBODY, extra_groups=[], preexec_fn=lower(resource.RLIMIT_NPROC, 1))
        os.chmod(FOLDER, 0o755)
    narrow_host = start("./burn", "stay")
    wait_until(lambda: open(f"/proc/{narrow_host.pid}/comm").read() == "burn\n")
    size = int(re.search(r"VmSize:\s+(\d+)", open(f"/proc/{narrow_host.pid}/status").read())[1]) * 1024
    resource.prlimit(narrow_host.pid, resource.RLIMIT_AS, (size + (1 << 20), resource.RLIM_INFINITY))
    says(Round(narrow_host.pid), "RLIMIT_AS leaves a process no room", "warn", "limits", "RLIMIT_AS leaves the process")
    is_true("RLIMIT_NOFILE 20", ["./burn"], "warn", "limits", "RLIMIT_NOFILE is 20",
            preexec_fn=lower(resource.RLIMIT_NOFILE, 20))


def filters():
    timer_create, memfd_create, connect = {"x86_64": (222, 319, 42), "aarch64": (107, 279, 203)}[os.uname().machine]
    eperm, kill = "0x00050001", "0x80000000"
    for number, answer, *wanted in (
            (timer_create, eperm, "no", "timer", "timer_create: Operation not permitted"),
            (memfd_create, kill, "no", "memory", "memfd_create is answered with .*seccomp"),
            (connect, eperm, "no", "socket", "connect: Operation not permitted")):
        is_true(f"a filter that answers {number} with {answer}", ["./burn"], *wanted,
                under=[os.path.join(FOLDER, "filter"), str(number), answer])


def cgroup():
    parent = "/sys/fs/cgroup/pids" if os.path.isdir("/sys/fs/cgroup/pids") else "/sys/fs/cgroup"
    group = os.path.join(parent, f"deepprof-test-{os.getpid()}")
    try:
        os.mkdir(group)
        with open(group + "/pids.max", "w") as file:
            file.write("3")
    except OSError as error:
        if os.path.isdir(group):
            os.rmdir(group)
        skipped(f"pids.max: {error}")
        return

    def enter():
        with open(group + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
    try:
        says(Round(preexec_fn=enter), "pids.max leaves no room", "no", "processes", "pids.max is 3 and 1 are in use")
    finally:
        end = time.monotonic() + 10
        while time.monotonic() < end and open(group + "/cgroup.procs").read():
            time.sleep(0.05)
        os.rmdir(group)


def name_spaces():
    if not IS_ROOT or subprocess.run(["unshare", "-m", "true"]).returncode:
        skipped("name spaces: not root")
        return

    def inside(script, *options):
        return Round(under=["unshare", *options, "sh", "-c", script + ' "$@"', "sh"])
    says(inside("umount -l /proc &&", "-m"), "no /proc", "no", "/proc", "mount proc")
    says(inside("mount -t proc -o hidepid=2 proc /proc &&", "-m"), "hidepid", "ok", "/proc", "hidepid=2")
    listed = subprocess.run(["ldconfig", "-p"], stdout=subprocess.PIPE, text=True).stdout
    write("no-library", "", 0o644)
    gone = "".join(f"mount --bind no-library {path} && " for path in re.findall(r"libcurl(?:-gnutls)?\.so\.4 .*=> (\S+)", listed))
    says(inside(gone + "DEEPPROF_SERVER=http://127.0.0.1:1", "-m"), "no libcurl", "no", "server", "libcurl4")
    first = start("unshare", "--pid", "--fork", "--kill-child", os.path.join(FOLDER, "burn"), "stay")
    init = wait_until(lambda: open(f"/proc/{first.pid}/task/{first.pid}/children").read().strip())
    wait_until(lambda: os.readlink(f"/proc/{init}/exe").endswith("/burn"))
    says(Round(init), "PID 1 of its name space", "ok", "init", "PID 1")
    says(inside("exec", "--pid"), "a pid name space that waits for its init", "no", "children", "--fork")
    write("overcommit", "2\n", 0o644)
    write("meminfo", "CommitLimit:  1000000 kB\nCommitted_AS:  990000 kB\n", 0o644)
    says(inside("mount --bind overcommit /proc/sys/vm/overcommit_memory && mount --bind meminfo /proc/meminfo &&", "-m"),
         "strict overcommit", "warn", "overcommit", "9 MiB")


# ---- commands ----

def links():
    plain = is_true("a dynamic program", ["./burn"], "ok", "program", "LD_PRELOAD reaches it")
    check("its names come as the doctor says", plain and "burn_here" in plain)
    is_true("a static program", [build("static", "-static")], "no", "program", "statically linked.*Parca Agent")
    is_true("a static-pie program", [build("static-pie", "-static-pie")], "no", "program", "statically linked")
    shutil.copy("burn", "stripped")
    subprocess.run(["strip", "stripped"], check=True)
    stripped = is_true("a stripped program", ["./stripped"], "warn", "names", r"stripped: \d+ exported")
    check("it has no names, as the doctor says", stripped and "burn_here" not in stripped and "stripped+0x" in stripped)
    with_debug_file()
    build("no-id", "-Wl,--build-id=none")
    says(Round("--", "./no-id"), "a program without build-id", "ok", "build-id", "none.*--build-id")
    build("no-cfi", "-fno-asynchronous-unwind-tables", "-nostartfiles", "-Wl,-e,main")
    subprocess.run(["objcopy", "-R", ".eh_frame", "-R", ".eh_frame_hdr", "no-cfi"], check=True)
    says(Round("--", "./no-cfi"), "a program without .eh_frame", "warn", "unwinding", "frame pointers")
    if shutil.which("musl-gcc"):
        musl = is_true("a musl program", [build("musl", compiler="musl-gcc")], "ok", "program", "musl")
        check("a musl program has names and stacks", musl and "burn_here" in musl and "main" in musl)
        is_true("a static musl program", [build("musl-static", "-static", compiler="musl-gcc")], "no", "program", "static")
    else:
        skipped("musl: no musl-gcc")


def with_debug_file():
    """The debug file is found where a package would put it, beside the program."""
    build("apart", "-g")
    os.makedirs(".debug", exist_ok=True)
    subprocess.run(["objcopy", "--only-keep-debug", "apart", ".debug/apart.debug"], check=True)
    subprocess.run(["objcopy", "--strip-all", "--add-gnu-debuglink=.debug/apart.debug", "apart"], check=True)
    real = is_true("a stripped program with its debug file", [os.path.join(FOLDER, "apart")], "ok", "names", "debug file is there")
    check("names come from the debug file", real and "burn_here" in real)


def sanitizers():
    library = subprocess.run(["cc", "-print-file-name=libasan.so"], stdout=subprocess.PIPE, text=True).stdout.strip()
    if not os.path.isabs(library):
        skipped("sanitizers: no libasan")
        return
    build("asan", "-fsanitize=address")
    quiet = "detect_leaks=0:"
    is_true("AddressSanitizer", ["./asan"], "no", "sanitizer", "verify_asan_link_order=0")
    is_true("AddressSanitizer told to bear it", ["./asan"], "ok", "sanitizer",
            env=clean(ASAN_OPTIONS=quiet + "verify_asan_link_order=0"))
    build("tsan", "-fsanitize=thread")
    says(Round("--", "./tsan"), "ThreadSanitizer", "warn", "sanitizer", "holds signals back")


def go_programs():
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.path.exists(go):
        skipped("Go: no go")
        return
    loop = "\tx := 1\n\tfor i := 1; i < 300000000; i++ {\n\t\tx = x*i + i%7\n\t}\n\tprintln(x)\n}\n"
    write("burn.go", "package main\n\nfunc main() {\n" + loop, 0o644)
    write("cburn.go", 'package main\n\n// #include <stdlib.h>\nimport "C"\n\nfunc main() {\n\tC.rand()\n' + loop, 0o644)
    env = clean(GOFLAGS="-mod=mod", GOCACHE=os.path.join(FOLDER, "go-cache"), GOTOOLCHAIN="local")
    for name, cgo in (("burn", "0"), ("cburn", "1")):
        subprocess.run([go, "build", "-o", "go-" + name, name + ".go"], env=dict(env, CGO_ENABLED=cgo), check=True)
    is_true("a static Go program", ["./go-burn"], "no", "program", "static Go program.*pprof")
    real = is_true("a Go program with cgo", ["./go-cburn"], "ok", "go", "frame pointers")
    check("its goroutines are walked", real and "main.main" in real)


def privileges():
    if not IS_ROOT:
        skipped("setuid: not root")
        return
    for name, owner, mode in (("setuid-nobody", (NOBODY, 0), 0o4755), ("setgid-nogroup", (0, NOBODY), 0o2755),
                              ("setuid-root", (0, 0), 0o4755)):
        shutil.copy("burn", name)
        os.chown(name, *owner)
        os.chmod(name, mode)
    is_true("setuid to another user", ["./setuid-nobody"], "no", "privileges", "setuid.*ignores LD_PRELOAD")
    is_true("setgid to another group", ["./setgid-nogroup"], "no", "privileges", "setgid")
    allowed = [os.path.join(FOLDER, "filter"), "1000", "0x7fff0000"]
    is_true("setuid under no_new_privs", [os.path.join(FOLDER, "setuid-nobody")], "ok", "privileges", "nothing that it has not", under=allowed)
    says(Round("--", "./burn", under=allowed), "no_new_privs and an inherited filter", "ok", "privileges", "no_new_privs is set")
    is_true("setuid to oneself", ["./setuid-root"], "ok", "privileges", "gives this user nothing")
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    with_folder = {**nobody, "cwd": "/tmp"}
    path = os.path.join(FOLDER, "setuid-root")
    says(Round("--", path, env=clean(), **with_folder), "setuid root for another user", "no", "privileges", "setuid")
    shutil.copy("burn", "capable")
    if subprocess.run(["setcap", "cap_net_raw+ep", "capable"], stderr=subprocess.DEVNULL).returncode == 0:
        says(Round("--", os.path.join(FOLDER, "capable"), **with_folder), "file capabilities", "no", "privileges", "capabilities")
        says(Round("--", "./capable"), "file capabilities for root", "ok", "privileges")
    else:
        skipped("file capabilities: no setcap")
    os.chmod(shutil.copy("burn", "unreadable"), 0o711)
    says(Round("--", os.path.join(FOLDER, "unreadable"), **with_folder), "a program that may only be executed", "warn", "command",
         "not read")


def not_programs():
    ls = open(os.path.realpath(shutil.which("ls")), "rb").read()
    other = bytearray(ls)
    other[18] = 183 if os.uname().machine == "x86_64" else 62
    subprocess.run(["cc", "-c", "-o", "object.o", "burn.c"], check=True)
    os.chmod("object.o", 0o755)
    write("empty", "")
    os.makedirs("folder", exist_ok=True)
    for claim, name, *wanted in (
            ("an empty file", "./empty", "no", "command", "empty"),
            ("a directory", "./folder", "no", "command", "directory"),
            ("no such file", "./missing", "no", "command", "No such file"),
            ("no such command", "deepprof-no-such-command", "no", "command", "not found in PATH"),
            ("not executable", write("plain-file", ls, 0o644), "no", "command", "chmod"),
            ("an ELF header alone", write("header", ls[:64]), "no", "program", "damaged"),
            ("a cut ELF file", write("cut", ls[:len(ls) // 2]), "no", "program", "damaged"),
            ("bytes of no kind", write("bytes", bytes(range(256)) * 9), "no", "command", "neither an ELF"),
            ("a program for another machine", write("other", other), "no", "program", "another machine"),
            ("an object file", "./object.o", "no", "program", "object file"),
            ("a library", INSTALLED["libdeepprof.so"], "no", "program", "library")):
        round_ = Round("--", name)
        says(round_, claim, *wanted)
        try:
            real = subprocess.run([name], env=clean(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode
        except OSError as error:
            real = error.strerror
        check(f"{claim}: it really does not run", real != 0, real)
    narrow()


def narrow():
    write("narrow.S", ".globl _start\n_start: movl $1, %eax\nxorl %ebx, %ebx\nint $0x80\n", 0o644)
    if os.uname().machine != "x86_64" or subprocess.run(["cc", "-m32", "-nostdlib", "-static", "-o", "narrow", "narrow.S"]).returncode:
        skipped("a 32-bit program: cannot be linked here")
        return
    says(Round("--", "./narrow"), "a 32-bit program", "no", "program", "32-bit")


def scripts():
    sh = write("run.sh", "#!/bin/sh\n./burn\n")
    real = is_true("a shell script", [sh], "ok", "script", "run by /bin/sh")
    check("a script's child is profiled", real and "burn_here" in real)
    says(Round("--", write("second", "#!./run.sh\n")), "a script of a script", "ok", "script", r"\./second is run by \./run.sh")
    python = shutil.which("python3.11") or os.path.realpath("/usr/bin/python3")
    write("py", f"#!/usr/bin/env -S {python} -u\nprint(1)\n")
    version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], stdout=subprocess.PIPE, text=True)
    is_elf = open(python, "rb").read(4) == b"\x7fELF"
    if is_elf:
        says(Round("--", "./py"), "env -S is followed, Python's version is named", "warn", "python", "Python " + version.stdout.strip())
    says(Round("--", write("bad", "#!/no/such/interpreter\n")), "no such interpreter", "no", "script", "/no/such/interpreter")
    says(Round("--", write("loop", "#!./loop\n")), "a script of itself", "no", "script", "in a row")
    says(Round("--", write("no-line", "echo hello\n")), "a text without #!", "ok", "script", "/bin/sh runs it")
    says(Round("--", "sh"), "PATH is searched", "ok", "command", "^sh is /")


def node():
    program = shutil.which("node")
    if not program or subprocess.run([program, "--version"], stdout=subprocess.DEVNULL).returncode:
        skipped("node: there is none")
        return
    write("hot.js", "function hotLoop(n) { let s = 0; for (let i = 0; i < n; i++) s += Math.sqrt(i % 97); return s }\n"
          "let t = 0; for (let k = 0; k < 100; k++) t += hotLoop(1e6);\n", 0o644)
    plain = is_true("node", [program, "hot.js"], "warn", "node", "--perf-basic-prof")
    check("no JavaScript names without it", plain and "hotLoop" not in plain)
    mapped = is_true("node --perf-basic-prof", [program, "--perf-basic-prof", "hot.js"], "ok", "node")
    check("JavaScript names with it", mapped and "hotLoop" in mapped)
    says(Round("--", program, "x", env=clean(NODE_OPTIONS="--perf-basic-prof")), "NODE_OPTIONS is read", "ok", "node")


def company():
    says(Round("--", "./burn", env=clean(LD_PRELOAD="/no/such/lib.so")), "a preload that is missing", "warn", "preload", "/no/such")
    libm = subprocess.run(["cc", "-print-file-name=libm.so.6"], stdout=subprocess.PIPE, text=True).stdout.strip()
    says(Round("--", "./burn", env=clean(LD_PRELOAD=libm)), "another preload", "ok", "preload", "libm")
    subprocess.run(["cc", "-shared", "-o", "libprofiler.so.0", "-Wl,-soname,libprofiler.so.0", "-x", "c", "/dev/null"], check=True)
    build("profiled", "-Wl,--no-as-needed", "./libprofiler.so.0")
    says(Round("--", "./profiled"), "linked with another profiler", "warn", "profilers", "libprofiler.so")
    other = start("./burn", "stay", env=clean(LD_PRELOAD=os.path.join(FOLDER, "libprofiler.so.0")))
    wait_until(lambda: "libprofiler" in open(f"/proc/{other.pid}/maps").read())
    says(Round(other.pid), "a process with another profiler in it", "warn", "profilers", "gperftools")
    build("linked", "-Wl,--no-as-needed", INSTALLED["libdeepprof.so"])
    says(Round("--", "./linked"), "linked with the library", "ok", "linked", "needs no LD_PRELOAD")
    says(Round("--", write("alone", "#!/bin/sh\n"), env=clean(DEEPPROF_CHILDREN="false")), "a script without its children", "warn",
         "settings", "children is false")
    if shutil.which("java"):
        says(Round("--", "java", "-version"), "java", "warn", "java", "async-profiler")
    else:
        skipped("java: there is none")


# ---- processes ----

def wait_until(question, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.1)
    return None


def processes():
    env = clean(LD_PRELOAD=INSTALLED["libdeepprof.so"], DEEPPROF_OUTPUT=os.path.join(FOLDER, "host.pb.gz"))
    host = start(os.path.join(FOLDER, "burn"), "stay", env=env)
    served = wait_until(lambda: (lambda r: r if r.has("ok", "agent", "process \\d+, serves it") else None)(Round(host.pid)))
    check("a profiled process is known, and its agent", served is not None)
    if served:
        agent = int(re.search(r"process (\d+), serves", served.out)[1])
        check("that agent is one", open(f"/proc/{agent}/comm").read().strip() == "deepprof-agent")
        says(served, "it is profiled fully", "ok", "result")
        says(served, "its threads have timers", "ok", "timers", "each of its 1 threads")
        os.kill(agent, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{agent}"))
        says(Round(host.pid), "its agent is gone", "warn", "agent", "is gone")
    thread = start(os.path.join(FOLDER, "burn"), "stay", env=dict(env, DEEPPROF_AGENT="thread"))
    check("agent=thread is known", wait_until(lambda: Round(thread.pid).has("ok", "agent", "as a thread")))
    off = start(os.path.join(FOLDER, "burn"), "stay", env=dict(env, DEEPPROF_ENABLED="false"))
    plain = start(os.path.join(FOLDER, "burn"), "stay")
    wait_until(lambda: os.readlink(f"/proc/{plain.pid}/exe").endswith("/burn") and os.readlink(f"/proc/{off.pid}/exe").endswith("/burn"))
    wait_until(lambda: "libdeepprof.so" in open(f"/proc/{off.pid}/maps").read())
    switched = Round(off.pid)
    says(switched, "loaded but switched off", "no", "settings", "enabled is false")
    says(switched, "its threads have no timers", "no", "timers", "none of its threads")
    says(Round(plain.pid), "a process without the library", "no", "loaded", "start it again with LD_PRELOAD=")
    static = start("./static", "stay")
    wait_until(lambda: os.readlink(f"/proc/{static.pid}/exe").endswith("/static"))
    says(Round(static.pid), "a static process", "no", "program", "statically linked")
    filtered = start("./filter", "1000", "0x7fff0000")
    filtered.stdout.readline()
    says(Round(filtered.pid), "a process under a filter of its own", "warn", "seccomp", "a filter of its own")
    signals = start(shutil.which("perl"), "-e", '$SIG{PROF} = sub {}; $| = 1; print "ready\\n"; sleep 600')
    signals.stdout.readline()
    says(Round(signals.pid), "a process with a SIGPROF handler", "ok", "SIGPROF", "handler of its own")
    replaced = start("./" + shutil.copy("burn", "replaced"), "stay")
    wait_until(lambda: os.readlink(f"/proc/{replaced.pid}/exe").endswith("/replaced"))
    os.unlink("replaced")
    says(Round(replaced.pid), "a program whose file is gone", "warn", "program", "no longer the file that runs")
    others(host)
    dead = start("true")
    dead.wait()
    says(Round(dead.pid), "a process that is no more", "no", "process", "there is no process")
    zombie = os.fork()
    if not zombie:
        os._exit(0)
    wait_until(lambda: " Z " in open(f"/proc/{zombie}/stat").read())
    says(Round(zombie), "a zombie", "no", "process", "has ended")
    os.waitpid(zombie, 0)
    threads = [t for t in os.listdir(f"/proc/{thread.pid}/task") if int(t) != thread.pid]
    says(Round(threads[0]), "a thread's id leads to its process", "ok", "process", f"thread of process {thread.pid}")


def others(host):
    if not IS_ROOT:
        skipped("another user's process: not root")
        return
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    foreign = Round(host.pid, **nobody)
    says(foreign, "another user's process", "warn", "owner", "belongs to root")
    says(foreign, "what cannot be seen is not made up", "warn", "result", "cannot be seen")
    child = start(os.path.join(FOLDER, "burn"), "stay", **nobody)
    wait_until(lambda: os.readlink(f"/proc/{child.pid}/exe").endswith("/burn"))
    says(Round(child.pid), "root sees another user's process", "no", "loaded", "is not in process")


# ---- settings and servers ----

NOBODY_LISTENS = {"DEEPPROF_SERVER": "http://127.0.0.1:9"}


def settings():
    write("plain", "", 0o644)
    os.mkdir("waiting")
    write("waiting/0123456789abcdef-1.upload", "x" * 2048, 0o600)
    for claim, env, *wanted in (
            ("a bad value", {"DEEPPROF_RATE": "fast"}, "warn", "settings", "DEEPPROF_RATE=fast"),
            ("an unknown key", {"DEEPPROF_RATTE": "1"}, "warn", "settings", "DEEPPROF_RATTE.*nearest"),
            ("a bad tenant", {"DEEPPROF_TENANT": "a\tb"}, "no", "settings", "unprofiled"),
            ("switched off", {"DEEPPROF_ENABLED": "false"}, "no", "settings", "enabled is false"),
            ("another profiler's variable", {"DD_PROFILING_ENABLED": "nonsense"}, "no", "settings", "DD_PROFILING_ENABLED"),
            ("no such settings file", {"DEEPPROF_CONFIG": "missing.conf"}, "warn", "settings", "missing.conf"),
            ("an ending that is no format", {"DEEPPROF_OUTPUT": "a.txt"}, "no", "settings", "must end in"),
            ("a missing folder", {"DEEPPROF_OUTPUT": "no/such/a.pb.gz"}, "no", "output", "no/such"),
            ("a spool without a server", {"DEEPPROF_SPOOL": "spool"}, "warn", "spool", "DEEPPROF_SERVER"),
            ("a spool that is still to be made", {"DEEPPROF_SPOOL": "spool", **NOBODY_LISTENS}, "ok", "spool", "will be made"),
            ("a spool that cannot be made", {"DEEPPROF_SPOOL": "no/such/spool", **NOBODY_LISTENS}, "warn", "spool", "cannot be made"),
            ("a spool that is a file", {"DEEPPROF_SPOOL": "plain", **NOBODY_LISTENS}, "warn", "spool", "Not a directory"),
            ("what waits in the spool", {"DEEPPROF_SPOOL": "waiting", **NOBODY_LISTENS}, "ok", "spool", "1 profile of 2.0 KiB waiting"),
            ("what is not built", {"DEEPPROF_PROFILES": "cpu,heap"}, "warn", "settings", "cpu alone")):
        says(Round(env=clean(**env)), claim, *wanted)
    write("good.conf", "rate = 50\n", 0o644)
    says(Round(env=clean(DEEPPROF_CONFIG="good.conf")), "a settings file is read", "ok", "rate", "^50 samples")
    if IS_ROOT:
        says(Round(cwd="/", env=clean(), user=NOBODY, group=NOBODY, extra_groups=[]), "a folder that may not be written to", "no",
             "output", "working directory")


class Server(http.server.BaseHTTPRequestHandler):
    answer = (200, "application/proto", b"")
    seen = []

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        Server.seen.append((self.path, self.rfile.read(size), dict(self.headers)))
        status, kind, body = Server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def servers():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    secret = "S3cretOfMine"

    def ask(url, **more):
        round_ = Round(env=clean(DEEPPROF_SERVER=url, DEEPPROF_AUTH="bearer:" + secret, **more))
        check(f"no secret is shown ({url.replace(secret, '...')})", secret not in round_.out + round_.err, round_.out)
        return round_
    for claim, answer, *wanted in (
            ("a server that takes it", (200, "application/proto", b""), "ok", "server", "answers as Pyroscope does"),
            ("a server that misses the profile", (400, "application/json", b'{"code":"invalid_argument","message":"no profiles received"}'),
             "ok", "server", "as Pyroscope"),
            ("a server that wants to know who asks", (401, "text/plain", b"who are you"), "no", "server", "401: who are you; set DEEPPROF_AUTH"),
            ("a server of another kind", (404, "text/plain", secret.encode()), "no", "server", "404"),
            ("a server that is busy", (503, "text/plain", b"later"), "warn", "server", "try again")):
        Server.answer = answer
        del Server.seen[:]
        says(ask("http://" + address), claim, *wanted)
        check(f"{claim}: it got one empty request with the token",
              len(Server.seen) == 1 and not Server.seen[0][1] and Server.seen[0][2].get("Authorization") == "Bearer " + secret, Server.seen)
    Server.answer = (404, "text/plain", b"")
    says(ask("http://" + address, DEEPPROF_OUTPUT="also.pb.gz"), "a bad server beside a good file", "warn", "server", "404")
    says(ask(f"https://{address}"), "https where there is http", "no", "server", "TLS")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        says(ask(f"http://me:{secret}@127.0.0.1:{port}"), "nobody listens", "no", "server", "cannot be reached")
        silent.listen(1)
        says(ask(f"http://127.0.0.1:{port}"), "a server that is silent", "no", "server", "does not answer")
    server.shutdown()


try:
    for part in (the_machine, links, sanitizers, go_programs, privileges, not_programs, scripts, node, company, processes, settings,
                 servers, limits, filters, cgroup, name_spaces):
        began = time.monotonic()
        part()
        print(f"     {part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
finally:
    for child in children:
        child.kill()
        child.wait()
    os.chdir("/")
    shutil.rmtree(FOLDER, ignore_errors=True)
done()
