#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN and lockdep: of vm_faults.py each kind of
fault, fewer times."""

import os
import runpy

os.environ['LIGHT'] = '1'
os.environ['TEST_PREFIX'] = 'uml_faults'
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            'vm_faults.py'), run_name='__main__')
