#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# torture.sh LIB PROGRAMS SECONDS RATE...: runs every case plain and preloaded, again and again for that long (0:
# once); stdout, stderr and exit status must be the same to the byte, and none may hang. TORTURE_ONLY: a pattern of
# PROGRAM.CASE. TORTURE_PLAIN=1: compares two plain runs.
set -u
lib=$(realpath "$1"); programs=$(realpath "$2"); seconds=$3; shift 3
rates=("$@")
here=$(cd "$(dirname "$0")" && pwd)
unset LD_PRELOAD
for name in $(compgen -e); do
	case $name in DEEPPROF_* | DD_* | OTEL_* | PYROSCOPE_*) unset "$name" ;; esac
done
export LC_ALL=C TORTURE_PROGRAMS=$programs
work=$(mktemp -d "${TMPDIR:-/tmp}/torture.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/cwd" "$work/out"

# run OUT COMMAND...: stdout+stderr+status of the command to OUT.
run() {
	local out=$1
	shift
	{ (cd "$work/cwd" && exec timeout -k 5 60 "$@") >"$out" 2>&1 </dev/null; } 2>/dev/null # bash tells of signals
	echo "status $?" >>"$out"
}

failed=0 done_count=0
check() { # NAME COMMAND...
	local name=$1
	shift
	[[ -z ${TORTURE_ONLY:-} || $name == $TORTURE_ONLY ]] || return 0
	run "$work/plain" "$@"
	if [[ $(tail -n1 "$work/plain") == 'status 77' ]]; then
		echo "skipped: $name: $(head -n1 "$work/plain")"
		return 0
	fi
	if [[ ${TORTURE_PLAIN:-} ]]; then # is the case itself the same each time?
		run "$work/again" "$@"
		done_count=$((done_count + 1))
		cmp "$work/plain" "$work/again" || { failed=$((failed + 1)); echo "UNSTEADY: $name"; diff "$work/plain" "$work/again" | head; }
		return 0
	fi
	for rate in "${rates[@]}"; do
		run "$work/profiled" env LD_PRELOAD="$lib" DEEPPROF_RATE="$rate" \
			DEEPPROF_OUTPUT="$work/out/%n-%p.pb.gz" "$@"
		done_count=$((done_count + 1))
		if ! cmp -s "$work/plain" "$work/profiled"; then
			failed=$((failed + 1))
			echo "FAILED: $name at $rate Hz (< plain, > profiled)"
			diff "$work/plain" "$work/profiled" | head -n 20
		fi
		if [[ -n $(ls -A "$work/cwd") ]]; then
			failed=$((failed + 1))
			echo "FAILED: $name left $(ls "$work/cwd") in the working directory"
			rm -rf "$work/cwd"; mkdir "$work/cwd"
		fi
	done
}

all() {
	local program test
	for program in "$programs"/torture_*; do
		[[ -x $program && ! -d $program ]] || continue
		for test in $("$program"); do
			check "$(basename "$program").$test" "$program" "$test"
		done
	done
	for script in "$here"/cases/*.sh; do
		[[ -e $script ]] || continue
		check "$(basename "$script" .sh)" bash "$script"
	done
}

end=$((SECONDS + seconds))
all
while ((SECONDS < end)); do
	all
done
echo "$done_count runs, $failed failed"
((failed == 0))
