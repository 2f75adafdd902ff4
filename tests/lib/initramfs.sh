#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# initramfs.sh RELEASE INIT OUTPUT MODULE...: makes an initramfs of a static
# busybox, INIT, and those modules of the kernel with what they depend on,
# numbered in the order in which they are to be loaded.  Their signatures and
# type information, which emulation is slow to check, are left out.
set -eu
PATH=$PATH:/usr/sbin:/sbin	# where a user finds depmod and modprobe
release=$1 init=$2 output=$3
shift 3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bin" "$dir/modules"
cp /bin/busybox "$dir/bin/"
cp "$init" "$dir/init"
chmod 755 "$dir/init"
n=100
modprobe -a -S "$release" --show-depends "$@" | awk '!seen[$2]++' |
while read -r insmod ko _; do
	[ "$insmod" = insmod ] || continue
	n=$((n + 1))
	to=$dir/modules/$n-$(basename "${ko%.xz}")
	case $ko in
	*.xz) xz -dc "$ko" >"$to" ;;
	*) cp "$ko" "$to" ;;
	esac
	objcopy --strip-debug --remove-section=.BTF "$to"
done
(cd "$dir" && find . | cpio -o -H newc --quiet) >"$output.$$"
mv "$output.$$" "$output"
