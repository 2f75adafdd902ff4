#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN and lockdep: vm_recovery.py without what
needs several CPUs, swap or a machine that suspends."""

import os
import runpy

os.environ['LIGHT'] = '1'
os.environ['TEST_PREFIX'] = 'uml_recovery'
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            'vm_recovery.py'), run_name='__main__')
