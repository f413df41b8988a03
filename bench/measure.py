# SPDX-License-Identifier: Apache-2.0
"""What all benches share: children run in turns, CPU time to the microsecond, medians with their doubt.

A bench compares variants: `plain`, `plain again` (the same once more: what differs between these two is noise),
`deepprof`, and peers where they are installed. Variants take turns inside each round, each round in another order, so
that whatever else the machine does falls on all of them alike."""
import glob
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("DEEPPROF_BUILD", os.path.join(SOURCE, "build", "dev"))
LIBRARY = os.path.join(BUILD, "libdeepprof.so")
AGENT = os.path.realpath(os.path.join(BUILD, "deepprof-agent"))
TAP = os.path.join(BUILD, "bench", "libbench_tap.so")
PROGRAMS = os.path.join(BUILD, "bench")
IS_SHORT = os.environ.get("BENCH_SHORT") == "1"
CONTROL = signal.SIGRTMIN + 9  # the tap listens
SCRATCH = tempfile.mkdtemp(prefix="deepprof-bench-")


def rounds(full, short=2):
    return short if IS_SHORT else full


def clean_up():
    shutil.rmtree(SCRATCH, ignore_errors=True)


# ---- variants ----

def peer(name):
    """The path of a peer's library, or None, said once."""
    found = sorted(glob.glob(f"/usr/lib/*/{name}.so.[0-9]*") + glob.glob(f"/usr/lib64/{name}.so.[0-9]*"), key=len)
    if not found:
        print(f"  {name}: peer not installed")
    return found[0] if found else None


def environment(*preload, **more):
    """A small environment with these objects preloaded (None: left out)."""
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    objects = [o for o in preload if o]
    if objects:
        env["LD_PRELOAD"] = " ".join(objects)
    env.update({k: str(v) for k, v in more.items()})
    return env


def with_deepprof(rate=100, first=None, **settings):
    """Preloaded, with a profile written to the scratch folder when the host ends: what users have."""
    named = {"DEEPPROF_" + k.upper(): v for k, v in settings.items()}
    named.setdefault("DEEPPROF_OUTPUT", os.path.join(SCRATCH, "out-%p.pb.gz"))
    return environment(first, LIBRARY, DEEPPROF_RATE=rate, **named)


def with_libprofiler(path, rate=100, first=None):
    return environment(first, path, CPUPROFILE=os.path.join(SCRATCH, "libprofiler.out"), CPUPROFILE_FREQUENCY=rate)


# ---- running ----

def spawn(args, env, quiet=True, close=False):
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in ((0, 1, 2) if quiet else (0,))]
    try:
        return os.posix_spawnp(args[0], args, env, file_actions=actions)
    finally:
        os.close(null)


def cpu_of_child(args, env):
    """CPU seconds, user and system, of one run of a program and all it waited for."""
    pid = spawn(args, env)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{args} ended with {status}")
    return usage.ru_utime + usage.ru_stime


def in_turns(variants, count, run):
    """{name: [figure of each round]}; run(name, variant) gives one figure. One round before that is not counted."""
    results = {name: [] for name in variants}
    order = list(variants)
    for turn in range(-1, count):
        random.shuffle(order)
        for name in order:
            figure = run(name, variants[name])
            if turn >= 0 or count == 1:
                results[name].append(figure)
        progress(turn + 1, count)
    return results


def progress(done, of):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{of} " if done < of else "\r" + " " * 20 + "\r")
        sys.stderr.flush()


# ---- the agent ----

def agents():
    """Running agents of this build."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/exe") == AGENT:
                    found.append(int(entry))
            except OSError:
                pass
    return found


def wait_for_agent(seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        found = agents()
        if found:
            return found[0]
        time.sleep(0.005)
    return None


def wait_for_no_agent(seconds=15):
    end = time.time() + seconds
    while agents() and time.time() < end:
        time.sleep(0.05)


def cpu_of(pid):
    """CPU seconds of any process so far, exact: its CPU clock can be read from outside. None: it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def memory_of(pid):
    """{"Rss": KiB, "Pss": ..., "Private": ...} of a process now."""
    sizes = {}
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file.readlines()[1:]:
            name, size = line.split()[:2]
            sizes[name.rstrip(":")] = int(size)
    sizes["Private"] = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return sizes


def peak_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


# ---- the tap ----

class Tap:
    """The tap's memory (tick_tap.h), by the file that BENCH_TAP names."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def _word(self, number):
        return struct.unpack_from("Q", self.memory, 8 * number)[0]

    def cycles_per_ns(self):
        return struct.unpack_from("d", self.memory, 24)[0]

    def ticks(self):
        return self._word(0)

    def handler_ns(self):
        return self._word(1) / self.cycles_per_ns()

    def log(self, most=65536):
        """ns of the first ticks."""
        count = min(self.ticks(), most, 65536)
        return [cycles / self.cycles_per_ns() for cycles in struct.unpack_from(f"{count}I", self.memory, 64)]

    def set_hz(self, pid, hz):
        """The rate of a process from now on; 0: none. Waits until it is done."""
        struct.pack_into("QQ", self.memory, 32, hz, 1 << 63)
        os.kill(pid, CONTROL)
        while self._word(5) != hz:
            time.sleep(0.0002)


# ---- figures ----

def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def doubt(values):
    """95 % interval of the median, from order statistics: no assumption about the noise."""
    ordered = sorted(values)
    count = len(ordered)
    reach = int(0.98 * count ** 0.5) + 1
    return ordered[max(0, count // 2 - reach)], ordered[min(count - 1, count // 2 + reach)]


def figure(values, scale=1, form="{:.2f}"):
    low, high = doubt(values)
    return f"{form} [{form} … {form}]".format(median(values) * scale, low * scale, high * scale)


def differences(results, name, base):
    return [a - b for a, b in zip(results[name], results[base])]


def ratios(results, name, base):
    return [a / b for a, b in zip(results[name], results[base])]


def heading(text):
    print(f"\n{text}", flush=True)


def line(what, text, goal=""):
    print(f"  {what:<34} {text}" + (f"   (goal {goal})" if goal else ""), flush=True)
