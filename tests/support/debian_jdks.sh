#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# OpenJDKs of other Debian suites than this machine's, unpacked into a folder together with the C library they need. Nothing
# is installed, no right is needed, the machine's own java stays what it is. They are Debian's own builds, with another
# loader written into the programs.
# usage: debian_jdks.sh FOLDER SUITE:VERSION...     (sid:8 sid:21 trixie:25); prints the home of each that is there
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift

# What a package links to in /etc or /usr is in the root: link to it there.
own_links() { # ROOT
	local link target
	find "$1" -type l -lname '/*' | while read -r link; do
		target=$(readlink "$link")
		[ ! -e "$1$target" ] && [ ! -L "$1$target" ] || ln -sfnr "$1$target" "$link"
	done
}

for wanted in "$@"; do
	suite=${wanted%%:*} version=${wanted##*:}
	root=$folder/$suite-$version
	if [ ! -e "$root/.complete" ]; then
		"$here/debian_root.sh" "$root" "$suite" "openjdk-$version-jdk-headless" >"$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; continue; }
		own_links "$root"
		home=$(find "$root/usr/lib/jvm" -maxdepth 1 -type d -name "java-$version-openjdk-*" -print -quit)
		libraries=$(dirname "$(find "$root" -name libc.so.6 -print -quit)")
		loader=$(find "$libraries" -name 'ld-*.so.[12]' -print -quit)
		find "$home" -type f -path '*/bin/*' -perm -u+x | while read -r program; do
			patchelf --set-interpreter "$loader" --force-rpath --set-rpath "\$ORIGIN/../lib:\$ORIGIN/../lib/jli:\$ORIGIN/../lib/amd64/jli:\$ORIGIN/../lib/amd64:$libraries" "$program" 2>/dev/null || true # some are scripts
		done
		"$home/bin/java" -version >"$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; continue; }
		touch "$root/.complete"
	fi
	find "$root/usr/lib/jvm" -maxdepth 1 -type d -name "java-$version-openjdk-*" -print -quit
done
