#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CPythons of other Debian suites than this machine's, unpacked into a folder together with the C library they need. Nothing
# is installed, no right is needed. They are Debian's own stripped builds, with another loader written into the program.
# usage: debian_pythons.sh FOLDER SUITE:VERSION...     (sid:3.14 trixie:3.13); prints the path of each that is there
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift
for wanted in "$@"; do
	suite=${wanted%%:*} version=${wanted##*:}
	root=$folder/$suite-$version
	program=$root/usr/bin/python$version
	if [ ! -e "$root/.complete" ]; then
		"$here/debian_root.sh" "$root" "$suite" "python$version-minimal" "libpython$version-stdlib" >"$folder/$suite-$version.log" 2>&1 || { tail -n 5 "$folder/$suite-$version.log" >&2; continue; }
		libraries=$(dirname "$(find "$root" -name libc.so.6 -print -quit)")
		loader=$(find "$libraries" -name 'ld-*.so.[12]' -print -quit)
		patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries:$root/usr/lib/$(basename "$libraries")" "$program"
		"$program" -c 'import ssl, json' || { echo "$program does not run" >&2; continue; }
		touch "$root/.complete"
	fi
	echo "$program"
done
