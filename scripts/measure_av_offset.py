#!/usr/bin/env python3
"""Measure how far sound and picture are apart: install what is needed once, then run the real pipeline. Linux.

A test signal goes through a microphone, the driver ``voice``, a recording and the live outputs. It needs
``apt-get install pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins``. Arguments: ``--help``.
"""

import sys

from bootstrap import ensure_environment, run_python

if __name__ == "__main__":
    sys.exit(run_python(ensure_environment(test=True), "scripts/devices/av_offset.py", *sys.argv[1:]))
