#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# CPythons of other Debian suites than this machine's, unpacked into a folder together with the C library they need. Nothing
# is installed, no right is needed. They are Debian's own stripped builds, with another loader written into the program.
# usage: debian_pythons.sh FOLDER SUITE:VERSION...     (sid:3.14 trixie:3.13); prints the path of each that is there
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
mirror=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed -n 's/^Debian|//p' | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}

fetch() { # SUITE VERSION ROOT
	local suite=$1 version=$2 root=$3 state=$3.apt deb
	rm -rf "$root" "$state"
	mkdir -p "$state"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d} "$root"
	: >"$state/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/etc/sources.list"
	local options=(-qq -o "Dir::State=$state/state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
		-o "Dir::Etc=$state/etc" -o "Dir::Etc::sourceparts=-" -o "Dir::Etc::parts=/etc/apt/apt.conf.d" -o Acquire::Check-Valid-Until=false
		-o APT::Install-Recommends=0 -o APT::Sandbox::User= -o APT::Get::List-Cleanup=0)
	apt-get "${options[@]}" update
	apt-get "${options[@]}" --download-only --yes install "python$version-minimal" "libpython$version-stdlib" >/dev/null
	for deb in "$state"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' ./usr ./lib ./lib64 2>/dev/null || true # some have no ./lib
	done
	rm -rf "$state"
}

if [ "$1" = --fetch ]; then # a process of its own: the shell heeds no errors in a list of alternatives
	fetch "${@:2}"
	exit
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
for wanted in "$@"; do
	suite=${wanted%%:*} version=${wanted##*:}
	root=$folder/$suite-$version
	program=$root/usr/bin/python$version
	if [ ! -e "$root/.complete" ]; then
		"$0" --fetch "$suite" "$version" "$root" >"$folder/$suite-$version.log" 2>&1 || { tail -n 5 "$folder/$suite-$version.log" >&2; continue; }
		libraries=$(dirname "$(find "$root" -name libc.so.6 -print -quit)")
		loader=$(find "$libraries" -name 'ld-*.so.[12]' -print -quit)
		patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries:$root/usr/lib/$(basename "$libraries")" "$program"
		"$program" -c 'import ssl, json' || { echo "$program does not run" >&2; continue; }
		touch "$root/.complete"
	fi
	echo "$program"
done
