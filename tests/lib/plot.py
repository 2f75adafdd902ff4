# SPDX-License-Identifier: GPL-2.0
"""Plots for the documentation."""

import os
import subprocess


def write_svg(path, script):
    """What gnuplot draws by these lines, with the project's license."""
    svg = subprocess.run(['gnuplot'], input='\n'.join(script) + '\n',
                         stdout=subprocess.PIPE, text=True, check=True,
                         env=dict(os.environ, LC_ALL='C')).stdout
    first, rest = svg.split('\n', 1)
    with open(path, 'w') as file:
        file.write('%s\n<!-- SPDX-License-Identifier: GPL-2.0 -->\n%s' % (
            first, rest))
