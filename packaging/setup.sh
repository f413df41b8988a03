#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing deepprof needs on Debian 12. Run as root or with sudo at hand.
set -e
packages="build-essential cmake ninja-build pkg-config libunwind-dev libprotobuf-c-dev protobuf-c-compiler
libcurl4-openssl-dev zlib1g-dev libdw-dev libelf-dev liblzma-dev libiberty-dev libcmocka-dev binutils python3 python3-greenlet openssl patchelf
man-db mandoc groff-base
gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross musl-tools"
missing=""
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing
