#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN and lockdep: the breaches of vm_hostile.py
that differ in the path they take."""

import os
import runpy

os.environ['LIGHT'] = '1'
os.environ['TEST_PREFIX'] = 'uml_hostile'
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            'vm_hostile.py'), run_name='__main__')
