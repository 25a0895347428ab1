"""Releases virtual cameras that v4l2loopback still takes to be in use by a producer.

With ``exclusive_caps=1`` (browsers list no camera without it) a device offers itself either to producers or to viewers.
Version 0.12.7 (Debian 12) forgets to offer a device to producers again after one that used ``write``, as pyvirtualcam
does: the device could be used once after each start of the system. Starting a stream and closing it resets the device.
These are plain ioctls of Linux's videodev2.h, which need no special rights. (github.com/letmaik/pyvirtualcam/issues/61)
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_DRIVER_NAME = b"v4l2 loopback"
_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability)
_STREAMON = 0x40045612  # _IOW('V', 18, int)
_CAPABILITY_STRUCT = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, all capabilities, this node's
_BUFFER_TYPE_OUTPUT = struct.pack("=i", 2)
_CAN_CAPTURE, _CAN_OUTPUT = 0x1, 0x2


def release_device(device: str) -> None:
    """Offer ``device`` to producers again after this process has closed it; other drivers' devices are left alone."""
    _release_node(Path(device), unless_capable_of=_CAN_OUTPUT)


def release_stale() -> None:
    """Release every loopback device that offers neither capture nor output, as a killed producer leaves one behind."""
    for node in sorted(Path("/dev").glob("video*")):
        _release_node(node, unless_capable_of=_CAN_CAPTURE | _CAN_OUTPUT)


def _release_node(node: Path, unless_capable_of: int) -> None:
    """Release ``node`` if it is a loopback device that offers none of the capabilities ``unless_capable_of``."""
    import fcntl  # not on Windows, where this module still has to be imported

    try:
        device = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return  # it is busy, forbidden or gone, which opening it as a camera will report
    try:
        answer = fcntl.ioctl(device, _QUERYCAP, bytes(_CAPABILITY_STRUCT.size))
        driver, _, _, _, _, offered = _CAPABILITY_STRUCT.unpack(answer)
        if driver.rstrip(b"\0") == _DRIVER_NAME and not offered & unless_capable_of:
            # this process becomes the producer, even if the call then fails for want of a format, until it closes
            fcntl.ioctl(device, _STREAMON, _BUFFER_TYPE_OUTPUT)
    except OSError:
        return
    finally:
        os.close(device)
