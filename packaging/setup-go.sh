#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the path of a Go that builds the test servers (1.25 or newer); brings one if there is none.
# setup-go.sh [--find]   --find: only looks. Exit 77 when there is none.
#
# Debian 12's own is 1.19; its backports' can run the newer toolchain that Go's module proxy serves.
set -e
NEEDED=25
TOOLCHAIN=go1.25.9
CACHE=${DEEPPROF_CACHE:-$HOME/.cache/deepprof}

minor() { GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'; }

find_go() {
	for go in "$(command -v go || true)" /usr/local/go/bin/go; do
		[ -x "$go" ] && [ "$(minor "$go")" -ge $NEEDED ] 2>/dev/null && echo "$go" && return
	done
	[ -x "$CACHE/go" ] && "$CACHE/go" version >/dev/null 2>&1 && echo "$CACHE/go"
}

# A Go of 1.21 or newer runs another version of itself, which it brings as a module.
wrap() {
	mkdir -p "$CACHE"
	printf '#!/bin/sh\nGOTOOLCHAIN=%s exec %s "$@"\n' $TOOLCHAIN "$1" >"$CACHE/go.new.$$"
	chmod +x "$CACHE/go.new.$$"
	"$CACHE/go.new.$$" version >&2 || { rm -f "$CACHE/go.new.$$"; return 1; }
	mv "$CACHE/go.new.$$" "$CACHE/go"
	echo "$CACHE/go"
}

find_wrapped() {
	for go in /usr/lib/go-1.2[1-9]/bin/go "$(command -v go || true)"; do
		[ -x "$go" ] && [ "$(minor "$go")" -ge 21 ] 2>/dev/null && wrap "$go" && return
	done
	return 1
}

# The backports, for this one package; the machine's own list of sources stays as it is.
install_backport() {
	grep -q '^VERSION_CODENAME=bookworm' /etc/os-release 2>/dev/null || return 1
	sudo=""
	[ "$(id -u)" = 0 ] || sudo=sudo
	dir=$(mktemp -d)
	mkdir -p "$dir/lists/partial"
	chmod -R a+rX "$dir"
	for suite in bookworm bookworm-updates bookworm-backports; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
	done >"$dir/sources.list"
	options="-o Dir::Etc::SourceList=$dir/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$dir/lists"
	# shellcheck disable=SC2086
	$sudo apt-get $options update -qq >&2 &&
		DEBIAN_FRONTEND=noninteractive $sudo apt-get $options install -y -qq --no-install-recommends \
			-t bookworm-backports golang-1.23-go >&2
	status=$?
	$sudo rm -rf "$dir"
	return $status
}

found=$(find_go || true)
[ -n "$found" ] || [ "$1" = --find ] || found=$(find_wrapped || true)
if [ -z "$found" ] && [ "$1" != --find ]; then
	install_backport && found=$(find_wrapped || true)
fi
if [ -z "$found" ]; then
	echo "no Go 1.$NEEDED or newer; packaging/setup-go.sh brings one" >&2
	exit 77
fi
echo "$found"
