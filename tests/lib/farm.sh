#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# farm.sh FOLDER: real folders with links to the module's sources, so that
# several kernels can be built for from one tree.  Links to sources that are
# gone are removed.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd -P)
farm=$1
mkdir -p "$farm"
cd "$farm"
find . -xtype l -delete
(cd "$top" && find Kbuild drivers include -type f \
	\( -name '*.[chS]' -o -name Kbuild -o -name Kconfig -o -name Makefile \) \
	! -name '*.mod.c') |
while IFS= read -r f; do
	[ "$(readlink "$f")" != "$top/$f" ] || continue
	mkdir -p "$(dirname "$f")"
	ln -sf "$top/$f" "$f"
done
