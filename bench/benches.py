# SPDX-License-Identifier: Apache-2.0
"""Runs the named benches, or all. Each is a module here with a main(); its first line says what it measures."""
import importlib
import os
import sys

ALL = ["walk", "handler", "allin", "spawn", "threads", "greet", "single", "memory", "python", "python_peers", "java", "labels"]


def main():
    names = [n for n in sys.argv[1:] if n != "--short"]
    if "--short" in sys.argv[1:]:
        os.environ["BENCH_SHORT"] = "1"
    unknown = [n for n in names if n not in ALL]
    if unknown:
        print(f"no bench {', '.join(unknown)}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    import measure
    try:
        for name in names or ALL:
            importlib.import_module(name).main()
    finally:
        measure.clean_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
