"""Video files that Chromium's fake camera plays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2

from livehead.errors import DeviceError
from livehead.frames import Image

_JPEG_QUALITY = 95


def write_mjpeg(pictures: Iterable[Image], path: Path) -> int:
    """Write ``pictures`` (uint8 [H, W, 3] RGB) as JPEGs in one file, and give their number.

    Chromium plays them at 30 a second, over and over. Raises: DeviceError.
    """
    count = 0
    with path.open("wb") as file:
        for picture in pictures:
            done, jpeg = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            if not done:
                raise DeviceError(f"picture {count} cannot be written as JPEG")
            file.write(jpeg.tobytes())
            count += 1
    return count
