#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm-run: --icount --timeout 900 --
# In the VM, deterministic mode: one guest nanosecond is one instruction, so
# 1e9 / IOPS is instructions per I/O, client, network and server together.
# A 4k random read at queue depth 32 must not cost more than nbd's.
set -u

depth32() {
	fio --name=x --filename="$1" --rw=randread --bs=4k --iodepth=32 \
		--ioengine=io_uring --direct=1 --norandommap --time_based \
		--runtime=1 --ramp_time=0.2 --output-format=json |
		python3 -c 'import json, sys
job = json.load(sys.stdin)["jobs"][0]
print(round(1e9 / job["read"]["iops"]) if not job["error"] else "failed")'
}

fail() {
	echo "not ok icount.4k_read_qd32_costs_no_more_than_nbd - $1"
	exit 1
}

vxhsd --listen 127.0.0.1:9999 --export d=memory,size=256M --threads 1 \
	2>/run/vxhsd.log &
nbdkit memory 256M --threads 4 || fail "nbdkit does not start"
for _ in $(seq 50); do
	grep -q 'vxhsd: ready' /run/vxhsd.log && break
	sleep 0.1
done
device=$(vxhsctl attach 127.0.0.1 d --lanes 1) || fail "attach"
modprobe nbd
nbd-client 127.0.0.1 10809 -C 2 -b 4096 /dev/nbd0 >/dev/null 2>&1 ||
	fail "nbd-client"

vxhs=$(depth32 "$device")
nbd=$(depth32 /dev/nbd0)
echo "# instructions per 4k random read, QD32: vxhs $vxhs, nbd $nbd"
case $vxhs$nbd in *[!0-9]* | "") fail "no figure" ;; esac
[ "$vxhs" -le "$nbd" ] || fail "vxhs $vxhs, nbd $nbd"
echo "ok icount.4k_read_qd32_costs_no_more_than_nbd"
nbd-client -d /dev/nbd0 >/dev/null
vxhsctl detach "$device"
