#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The tests of host_tls.py where the kernel does the records: what only a
kernel does is looked at as well."""

import os
import subprocess
import sys

subprocess.run(['modprobe', 'tls'], check=True)
os.environ['VXHS_KERNEL_TLS'] = '1'     # or fail: no other way will do
os.environ['TEST_PREFIX'] = 'vm_tls'
script = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      'host_tls.py')
os.execv(sys.executable, [sys.executable, script, *sys.argv[1:]])
