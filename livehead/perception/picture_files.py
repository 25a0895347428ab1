"""Pictures of data sets as arrays, decoded by Pillow alone.

OpenCV does not read files here: MediaPipe 0.10.21 needs NumPy below 2, and OpenCV 4.12, the first release in which
CVE-2025-53644 (a write outside the heap in its image reader) is mended, needs NumPy 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ImageOps

from livehead.errors import CaptureError
from livehead.frames import Image
from livehead.perception.photo_formats import open_picture
from livehead.untrusted_files import DamagedFileError, guard_parser

_MAX_PIXELS = 100_000_000


def read_picture(path: Path) -> Image:
    """Return the picture in the file ``path``, upright and of its full size: uint8 [H, W, 3] RGB.

    Raises: CaptureError when it cannot be read, is of another format, or is too large.
    """
    try:
        with guard_parser(), open_picture(path) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise CaptureError(f"{path} has too many pixels", f"give at most {_MAX_PIXELS // 1_000_000} million")
            upright = ImageOps.exif_transpose(picture)
            return np.array(upright.convert("RGB"), np.uint8)
    except DamagedFileError as error:
        raise CaptureError(f"{path} is no picture ({error})", "leave it out", subject=str(path)) from error
