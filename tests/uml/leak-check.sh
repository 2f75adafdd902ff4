#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# leak-check.sh COMMAND...: in user-mode Linux, runs COMMAND, unloads the module
# and lets kmemleak look for memory that nobody knows any more.
set -u
kmemleak=/sys/kernel/debug/kmemleak
echo clear >$kmemleak
"$@"
status=$?
if lsmod | grep -q '^vxhs '; then
	modprobe -r vxhs || status=1
fi
# It reports nothing younger than 5 s, and may see ghosts on a first scan.
sleep 6
echo scan >$kmemleak
sleep 1
echo scan >$kmemleak
report=$(<$kmemleak)
if [ -n "$report" ]; then
	printf '%s\n' "$report" | head -n 100
	echo "not ok kmemleak - unreferenced memory"
	status=1
else
	echo "ok kmemleak"
fi
exit $status
