#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# klog-check.sh FILE...: fails, and shows the lines, if a kernel's log holds a
# complaint: a warning, an oops, a report of a sanitizer, of lockdep or of
# kmemleak, a stalled task, a failed KUnit test.
set -u
bad='WARNING:|BUG[: ]|Oops|general protection fault|KASAN|UBSAN|KFENCE'
bad+='|Kernel panic|Call Trace|\[ cut here \]|stack-protector'
bad+='|possible (recursive|circular|irq lock|deadlock)|inconsistent lock state'
bad+='|suspicious RCU usage|held lock freed|bad unlock balance|lock held when'
bad+='|sleeping function called|scheduling while atomic'
bad+='|INFO: (task|rcu)|blocked for more than|soft lockup|hard LOCKUP'
bad+='|self-detected stall|detected stalls'
bad+='|unreferenced object|new suspected memory leaks|refcount_t|ODEBUG'
bad+='|list_(add|del) corruption|use-after-free|Object .*Poison|Slab cache still'
bad+='|Bad page state|leaked|vxhs:.* leak'
bad+='|^[^a-z]*not ok [0-9]|# .*: EXPECTATION FAILED|# .*: ASSERTION FAILED'
bad+='|module vxhs: .*(overflow|unknown symbol)|vxhs: Unknown symbol'
# Boot banners that contain such words.
good='Lock dependency validator|lockdep information|lockdep_|per task-struct'
good+='|kmemleak: Kernel memory leak detector|KernelAddressSanitizer initialized'
good+='|kasan: .*initialized|Spectre|BIOS-e820|ACPI BIOS (Warning|Error)'
good+='|ACPI: .*BIOS|KFENCE: initialized|kfence: initialized'

[ $# -gt 0 ] || { echo "usage: $0 FILE..." >&2; exit 2; }
status=0
for file in "$@"; do
	[ -s "$file" ] || { echo "$file: missing or empty"; status=1; continue; }
	lines=$(tr -d '\r' <"$file" | grep -anE "$bad" | grep -avE "$good") ||
		continue
	echo "$file: the kernel complained:"
	first=${lines%%:*}
	printf '%s\n' "$lines" | head -n 20
	echo "--- from the first one on:"
	tr -d '\r' <"$file" | tail -n "+$first" | head -n 60
	status=1
done
exit $status
