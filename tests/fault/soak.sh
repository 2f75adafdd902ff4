#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# soak.sh HOURS [SEED]: the fault lab in a VM for so long, with the driver's
# block devices: half of the time one server on devices that can hang and
# crash, half of it two servers that share their files.  What came of it is in
# build/soak: results, summary-*.json, kernel-*.log, and the logs of a failure.
set -u
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
out=$top/build/soak
hours=${1:-} seed=${2:-$RANDOM}
[[ $hours =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
	{ echo "usage: make soak HOURS=N, such as 0.5 or 8" >&2; exit 2; }
mkdir -p "$out"
make -s -C "$top/tests/fault" || exit 1
half=$(awk "BEGIN { print $hours / 2 }")
limit=$(awk "BEGIN { print int($half * 3600) + 1200 }")
status=0

soak() { # NAME OPTION...
	local name=$1
	shift
	echo "# $name, $half hours, $(date '+%F %H:%M')" | tee -a "$out/results"
	VXHS_VM_LOG=$out/kernel-$name.log "$top/tests/vm/run" --mem 4096 \
		--timeout "$limit" --share "$out" -- \
		tests/fault/lab.py --seed "$seed" --soak "$half" \
		--block-devices --root --kato 200 "$@" --keep /mnt/share \
		--summary "/mnt/share/summary-$name.json" 2>&1 |
		tee -a "$out/results"
	[ "${PIPESTATUS[0]}" = 0 ] || status=1
	"$top/tests/lib/klog-check.sh" "$out/kernel-$name.log" || status=1
}

soak one --loops --attach-options=--digests
soak pair --servers 2 --paths 1
exit $status
