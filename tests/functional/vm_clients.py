#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# vm-run: --icount --
"""What other clients notice of attacks, where time is a count of instructions
and the kernel does the records of TLS: p99 at most doubles."""

import os
import subprocess
import sys

subprocess.run(['modprobe', 'tls'], check=True)
HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.update(VXHS_KERNEL_TLS='1', VXHS_COUNTED='1',
                  TEST_PREFIX='vm_clients', VXHSD='/usr/local/sbin/vxhsd')
failed = 0
for script, test in (('host_flood.py', 'attacks_and_another_client'),
                     ('host_tls.py', 'handshakes_without_end')):
    failed |= subprocess.run([sys.executable, os.path.join(HERE, script),
                              test], check=False).returncode
sys.exit(failed)
