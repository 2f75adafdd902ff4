#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN and lockdep: vm_tls_client.py without what
is a matter of user space alone."""

import os
import runpy

os.environ['LIGHT'] = '1'
os.environ['TEST_PREFIX'] = 'uml_tls_client'
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            'vm_tls_client.py'), run_name='__main__')
