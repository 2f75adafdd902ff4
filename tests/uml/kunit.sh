#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In user-mode Linux: loads the module, which runs its KUnit suites, and prints
# their results from the kernel's log as "ok suite.test" lines.
set -u
modprobe vxhs || echo "not ok kunit.modprobe - the module does not load"
dmesg | sed -E 's/^\[ *[0-9.]+\] //' | awk '
	/# Subtest: / && /^    [^ ]/ { suite = $3 }
	/^    (not )?ok [0-9]+ / {
		line = $0
		sub(/^    /, "", line)
		good = line !~ /^not / && line !~ /# SKIP/
		sub(/^(not )?ok [0-9]+ (- )?/, "", line)
		print (good ? "ok" : "not ok") " " suite "." line
		n++
	}
	END { if (!n) print "not ok kunit - no suite was run" }'
modprobe -r vxhs || echo "not ok kunit.unload - the module cannot be unloaded"
