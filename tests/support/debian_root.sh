#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Packages of another Debian suite than this machine's, with all that they depend on, unpacked into a folder. Nothing is
# installed, no right is needed.
# usage: debian_root.sh ROOT SUITE PACKAGE...
set -euo pipefail
[ $# -ge 3 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
root=$1 suite=$2 state=$1.apt
shift 2
mirror=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed -n 's/^Debian|//p' | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}

rm -rf "$root" "$state"
mkdir -p "$state"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d} "$root"
: >"$state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/etc/sources.list"
options=(-qq -o "Dir::State=$state/state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
	-o "Dir::Etc=$state/etc" -o "Dir::Etc::sourceparts=-" -o "Dir::Etc::parts=/etc/apt/apt.conf.d" -o Acquire::Check-Valid-Until=false
	-o APT::Install-Recommends=0 -o APT::Sandbox::User= -o APT::Get::List-Cleanup=0)
apt-get "${options[@]}" update
apt-get "${options[@]}" --download-only --yes install "$@" >/dev/null
for deb in "$state"/cache/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='*/jmods' ./usr ./lib ./lib64 ./etc 2>/dev/null || true # some have no ./lib
done
rm -rf "$state"
