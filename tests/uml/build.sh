#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the user-mode Linux kernel of the tests, if it is not in the cache
# (about 9 minutes on two cores), and prints the folder it is in.  The cache is
# keyed by the version of Debian's kernel source and the hash of the config.
# The log of a build is in the cache, uml-build.log.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vxhs
tarball=/usr/src/linux-source-6.12.tar.xz
src=$cache/src/linux-source-6.12
log=$cache/uml-build.log

version=$(dpkg-query -W -f '${Version}' linux-source-6.12 2>/dev/null) || {
	echo "linux-source-6.12 is not installed: run 'make setup'" >&2
	exit 1
}
dir=$cache/uml-${version//[^a-zA-Z0-9.]/_}-$(sha256sum <"$here/config" | cut -c1-12)

mkdir -p "$cache"
exec 9>"$cache/src.lock"
flock 9
if [ "$(cat "$src/.debian-version" 2>/dev/null)" != "$version" ]; then
	echo "Unpacking $tarball into $cache/src ..." >&2
	rm -rf "$src"
	mkdir -p "$cache/src"
	tar -xJf "$tarball" -C "$cache/src"
	echo "$version" >"$src/.debian-version"
fi
if [ "${1:-}" = --source ]; then
	echo "$src"
	exit
fi
# Nobody needs to wait for a build to read the source.
exec 9>"$cache/uml.lock"
flock 9

if [ ! -e "$dir/.complete" ]; then
	echo "Building the user-mode Linux kernel into $dir ..." >&2
	rm -rf "$dir"
	mkdir -p "$dir"
	(
		cd "$src"
		make ARCH=um O="$dir" allnoconfig
		cat "$here/config" >>"$dir/.config"
		make ARCH=um O="$dir" olddefconfig
		make ARCH=um O="$dir" -j"$(nproc)" vmlinux modules
	) >"$log" 2>&1 9>&- || {
		tail -n 30 "$log" >&2
		echo "the build failed, see $log" >&2
		exit 1
	}
	touch "$dir/.complete"
	for old in "$cache"/uml-*-????????????; do
		[ "$old" = "$dir" ] || rm -rf "$old"
	done
fi
echo "$dir"
