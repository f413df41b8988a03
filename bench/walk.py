# SPDX-License-Identifier: Apache-2.0
"""walk: ns a frame of the native walk beside libunwind's and libgcc's; bytes a row and rows a second of tables."""
import os
import subprocess

import measure as m


def main():
    m.heading("walk: goals: warm ≤ 1.2 × unw_backtrace a frame; first sample in a new thread ≤ 5 µs; tables ≤ 8 bytes "
              "a row, ≥ 20 M rows/s")
    short = ["/usr/lib/x86_64-linux-gnu/libc.so.6"] if m.IS_SHORT else []
    print(subprocess.run([os.path.join(m.PROGRAMS, "bench_unwind"), *short], env=m.environment(),
                         stdout=subprocess.PIPE, check=True).stdout.decode())
