"""Ultra-dense poses of characters in pictures, by CoNR's parser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from livehead.frames import Image
from livehead.models.conr.encoders import DensePoseParser
from livehead.models.engine import ExecutionConfig
from livehead.motion.keypoints import Array


class DensePoseDetector:
    """``parser``: prepared for ``setting``."""

    def __init__(self, parser: DensePoseParser, setting: ExecutionConfig) -> None:
        self.setting = setting
        self._parser = parser

    @torch.inference_mode()
    def detect(self, squares: Sequence[Image]) -> Array:
        """The poses float32 [B, S, S, 4] (X, Y, Z, visibility) in framed pictures.

        ``squares``: uint8 [S, S, 3 or 4], RGB times alpha.
        """
        batch = torch.from_numpy(np.stack([square[..., :3] for square in squares])).to(self.setting.device)
        found = self._parser.detect_dense_pose(batch.permute(0, 3, 1, 2).float() / 255)
        return np.ascontiguousarray(found.permute(0, 2, 3, 1).cpu().numpy())
