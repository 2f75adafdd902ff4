#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make demo: a QEMU guest uses a disk that lives on a storage server.  All of it
# happens in a throwaway VM; of the host only packages are changed.
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
cd "$top"
SECONDS=0

echo "== vxhs demo: a guest's disk over the network (2 to 5 minutes)"
echo "== 1. packages that are missing, if any"
tests/lib/setup.sh vm
echo "== 2. building the kernel module, vxhsctl and vxhsd"
mkdir -p build/demo
flock build/.lock make -s vm-module tools >build/demo/build.log 2>&1 || {
	cat build/demo/build.log
	exit 1
}
release=$(tests/vm/kernel)
tests/lib/initramfs.sh "$release" "$top/tests/demo/guest-init" \
	build/demo/guest.cpio virtio_pci virtio_blk ext4 crc32c_generic
echo "== 3. booting the host: a VM with Debian's kernel $release"
status=0
VXHS_VM_LOG=build/demo/host.log tests/vm/run --timeout 600 -- \
	tests/demo/host.sh || status=$?
if [ $status = 0 ]; then
	tests/lib/klog-check.sh build/demo/host.log || status=1
fi
if [ $status != 0 ]; then
	echo "== the demo failed (exit status $status);" \
		"the host's kernel log is build/demo/host.log"
	exit 1
fi
echo "== All of it took $SECONDS s. Nothing is left behind but build/."
echo "== README.md says how to do the same on your own hosts; 'make check' proves more."
