#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libdeepprof.so exports what preload/exports.map lists and nothing else, without versions; it needs libc alone.
set -e
library=$DEEPPROF_BUILD/libdeepprof.so
listed=$(sed -n 's/^\t\t\([a-z_A-Z0-9*]*\);.*/\1/p' "$DEEPPROF_SOURCE/preload/exports.map" | grep -v '^\*$')
bad=""
for symbol in $(nm -D --defined-only "$library" | awk '{print $3}'); do
	case $symbol in
	*@*) bad="$bad $symbol(versioned)" ;;
	deepprof_* | Agent_*) ;;
	*) echo "$listed" | grep -qx "$symbol" || bad="$bad $symbol" ;;
	esac
done
[ -z "$bad" ] || { echo "exported but not listed:$bad"; exit 1; }
needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
[ "$needed" = libc.so.6 ] || { echo "needs $needed, not libc.so.6 alone"; exit 1; }
readelf -d "$library" | grep -q 'NODELETE' || { echo "can be unloaded: -z nodelete is missing"; exit 1; }
readelf -d "$library" | grep -Eq 'BIND_NOW|FLAGS.*NOW' || { echo "binds lazily: -z now is missing"; exit 1; }
if nm -D "$library" | grep -E ' U .*(__isoc23_|_chk(@|$)|64@)' ; then
	echo "symbols that other C libraries lack"; exit 1
fi
echo "$(nm -D --defined-only "$library" | wc -l) exported symbols, all listed"
