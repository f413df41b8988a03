#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the benches: bench/run.sh [--short] [NAME…]. Without names, all; --short: each runs once and prints, for CI.
# Builds what they need in build/dev, or takes the build that DEEPPROF_BUILD names.
set -e
cd "$(dirname "$0")/.."
if [ -z "$DEEPPROF_BUILD" ]; then
	[ -f build/dev/build.ninja ] || cmake --preset dev >/dev/null
	cmake --build --preset dev >/dev/null
fi
exec python3 bench/benches.py "$@"
