#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh receiver|parca|otelcol: builds a server for the tests into ${DEEPPROF_CACHE:-~/.cache/deepprof}/bin and prints its
# path; done again only when its sources change. Two at once are fine. Exit 77: it cannot be had here.
#
# Parca takes 400 CPU seconds and 460 MiB of modules the first time, a Collector 300 and 120: each is built only where
# DEEPPROF_TEST_PARCA=1 or DEEPPROF_TEST_OTELCOL=1 asks for it, and used wherever it is there.
here=$(cd "$(dirname "$0")" && pwd)
name=$1
case $name in
receiver) package=. wanted=1 ;;
parca) package=github.com/parca-dev/parca/cmd/parca wanted=$DEEPPROF_TEST_PARCA ;;
otelcol) package=. wanted=$DEEPPROF_TEST_OTELCOL ;;
*) echo "usage: build.sh receiver|parca|otelcol" >&2 && exit 2 ;;
esac
cache=${DEEPPROF_CACHE:-$HOME/.cache/deepprof}
bin=$cache/bin/$name
key=$(cd "$here/$name" && cat go.mod go.sum ./*.go 2>/dev/null | sha256sum | cut -d' ' -f1)
mkdir -p "$cache/bin" || exit 1
is_built() { [ -x "$bin" ] && [ "$(cat "$bin.key" 2>/dev/null)" = "$key" ]; }

if ! is_built && [ "$wanted" != 1 ]; then
	echo "no $name in $cache/bin; DEEPPROF_TEST_$(echo "$name" | tr a-z A-Z)=1 builds it (minutes)" >&2
	exit 77
fi
(
	flock 9
	is_built && exit 0
	go=$("$here/../../packaging/setup-go.sh" --find) || exit 77
	export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false"
	cd "$here/$name" || exit 1
	echo "building $name ..." >&2
	"$go" list -deps "$package" >/dev/null || exit 77 # brings the modules: only their absence is a skip
	nice -n 10 "$go" build -trimpath -ldflags='-s -w' -o "$bin.new" "$package" >&2 || exit 1
	mv "$bin.new" "$bin" && echo "$key" >"$bin.key"
) 9>"$bin.lock" || exit $?
echo "$bin"
