#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CPythons that nobody ships, built from Debian's source archives: minutes each. Not installed: used where they were built.
# usage: source_pythons.sh FOLDER BUILD...     BUILD: SUITE:VERSION:HOW, HOW: free-threaded, debug, jit, tail-call
# e.g. sid:3.14:free-threaded trixie:3.13:debug; prints the path of each that is there
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
mirror=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed -n 's/^Debian|//p' | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}
mirror=${mirror%/}

# A package's source archives, newest first: path in the mirror, SHA-256.
find_sources() { # SUITE PACKAGE
	curl -fsS "$mirror/dists/$1/main/source/Sources.xz" | xz -dc | awk -v RS= -v package="$2" -F '\n' '
		$1 == "Package: " package {
			for (i = 1; i <= NF; i++) {
				count = split($i, part, " ")
				if (part[1] == "Directory:") directory = part[2]
				if (count == 3 && length(part[1]) == 64 && part[3] ~ /[.]orig[.]tar[.]xz$/) { sum = part[1]; file = part[3] }
			}
			print directory "/" file, sum
		}' | sort -rV
}

build() { # SUITE VERSION HOW FOLDER
	local options=() sources path sum
	case $3 in
	free-threaded) options=(--disable-gil) ;;
	debug) options=(--with-pydebug) ;;
	jit) options=(--enable-experimental-jit=yes-off) ;;
	tail-call) options=(--with-tail-call-interp) ;;
	*) echo "$3 is none of free-threaded, debug, jit, tail-call" && return 1 ;;
	esac
	sources=$(find_sources "$1" "python$2")
	rm -rf "$4"
	mkdir -p "$4"
	while read -r path sum; do # one that the mirror does not hold any more may be listed
		curl -fsS "$mirror/$path" -o "$4/source.tar.xz" && break
	done <<<"$sources"
	[ -s "$4/source.tar.xz" ] || { echo "no source of python$2 in $1" && return 1; }
	echo "$sum  $4/source.tar.xz" | sha256sum -c -
	tar -x -C "$4" --strip-components=1 -f "$4/source.tar.xz"
	rm "$4/source.tar.xz"
	cd "$4"
	./configure --quiet "${options[@]}" ${CC:+"CC=$CC"} CFLAGS="-g -O2" --prefix="$4/installed"
	make -s -j2
	touch "$4/.complete"
}

if [ "$1" = --build ]; then # a process of its own: the shell heeds no errors in a list of alternatives
	build "${@:2}"
	exit
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
for wanted in "$@"; do
	IFS=: read -r suite version how <<<"$wanted"
	root=$folder/$version-$how
	[ -e "$root/.complete" ] || "$0" --build "$suite" "$version" "$how" "$root" >"$folder/$version-$how.log" 2>&1 ||
		{ tail -n 5 "$folder/$version-$how.log" >&2; continue; }
	echo "$root/python"
done
