#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN and lockdep: all of vm_netlink.py."""

import os
import runpy

os.environ['TEST_PREFIX'] = 'uml_netlink'
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            'vm_netlink.py'), run_name='__main__')
