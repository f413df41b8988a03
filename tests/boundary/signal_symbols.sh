#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Signal code calls nothing it may not: the undefined symbols of all *_signal.c objects together, less what they
# define themselves and the few names of hook files they may read, are none.
set -e
cd "$DEEPPROF_BUILD"
grep -q 'fsanitize' CMakeCache.txt && { echo "skipped: a sanitizer adds its own calls"; exit 77; }
objects=$(find . -path '*_signal.dir*' -name '*.o' | sort)
[ -n "$objects" ] || { echo "no signal objects found"; exit 1; }
out=$(mktemp)
# shellcheck disable=SC2086
ld -r -o "$out" $objects
undefined=$(nm --undefined-only "$out" | awk '{print $2}' | sort -u)
rm -f "$out"
allowed="_GLOBAL_OFFSET_TABLE_ dp_module_at dp_module_count dp_module_generation dp_real dp_python dp_hotspot \
	pthread_getspecific pthread_self"
bad=""
for symbol in $undefined; do
	case " $(echo $allowed) " in *" $symbol "*) ;; *) bad="$bad $symbol" ;; esac
done
if [ -n "$bad" ]; then
	echo "signal code refers to:$bad"
	exit 1
fi
echo "$(echo "$objects" | wc -l) signal objects, nothing outside the allow list"
