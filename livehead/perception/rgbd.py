"""DaGAN's own eyes: face depth from a picture, and learned key points from both (DaGAN, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from livehead.frames import Image
from livehead.models.dagan.depth import FaceDepth
from livehead.models.dagan.keypoints import KeypointDetector, LearnedPoints
from livehead.models.engine import Floating, Setting, prepare
from livehead.models.quantize import Ranges
from livehead.motion.keypoints import Keypoints

_EXACTLY: Floating = "f32"

SIDE = 256
"""Of the pictures that the published networks were trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """``pictures`` [B, 3, 256, 256] RGB in [0, 1]; their ``disparity`` [B, 1, 256, 256] in (0, 1); ``points``."""

    pictures: Tensor
    disparity: Tensor
    points: LearnedPoints


class RgbdDetector:
    """The depth network and the key-point detector as one, for square pictures. Any number of threads may use it.

    Its key points are of the set ``dagan15`` (or ``dagan10``), in the published networks' own coordinates: x right, y
    down, the first and last cell of a 58 x 58 map at -1 and 1. They mean something to their own generator only.
    ``ranges``: for int8, by ``depth`` and ``keypoints``.
    """

    def __init__(
        self,
        depth: FaceDepth,
        keypoints: KeypointDetector,
        setting: Setting,
        ranges: Mapping[str, Ranges] | None = None,
    ) -> None:
        ranges = ranges or {}
        self.setting = setting
        self.motion_set = f"dagan{keypoints.points}"
        self._channels = keypoints.channels
        self._depth = prepare(depth, setting, (), {"": lambda disparity: disparity}, ranges.get("depth"))
        # less exact, points are off by a part of a pixel, which costs the picture more than all the rest together
        exact = [name for name, _ in keypoints.named_children()] if setting.device.type == "cpu" else ["down"]
        parts, floating = {"": LearnedPoints}, {"": _EXACTLY}
        self._keypoints = prepare(keypoints, setting, tuple(exact), parts, ranges.get("keypoints"), floating)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What a picture goes through, by name: for timing."""
        return {"depth": self._depth, "keypoints": self._keypoints}

    @torch.inference_mode()
    def look(self, images: Sequence[Image]) -> Look:
        """Depth and points of uint8 [S, S, 3] RGB pictures of any size."""
        batch = np.stack([resized(image, SIDE) for image in images])
        pictures = torch.from_numpy(batch).to(self.setting.device).permute(0, 3, 1, 2).float() / 255
        disparity = self._depth(pictures)
        seen = {4: torch.cat([pictures, disparity], dim=1), 3: pictures, 1: disparity}[self._channels]
        return Look(pictures, disparity, self._keypoints(seen))

    def detect(self, image: Image, captured_ns: int = 0) -> Keypoints:
        """The key points of one picture, whatever it shows: B = 1, confidence 1."""
        return as_keypoints(self.look([image]).points, self.motion_set, captured_ns)[0]


def as_keypoints(points: LearnedPoints, name: str, captured_ns: int) -> list[Keypoints]:
    """A batch of ``points`` as one motion each, of the set ``name``."""
    value, jacobian = (part.float().cpu().numpy() for part in points)
    sure = np.ones(1, np.float32)
    return [Keypoints(name, value[i : i + 1], None, jacobian[i : i + 1], sure, captured_ns) for i in range(len(value))]


def as_points(motions: Sequence[Keypoints], device: torch.device) -> LearnedPoints:
    """Motions of a learned set as one batch for a network."""
    value = torch.from_numpy(np.concatenate([motion.value for motion in motions]))
    eye = np.eye(2, dtype=np.float32)
    jacobian = [np.broadcast_to(eye, (*m.value.shape, 2)) if m.jacobian is None else m.jacobian for m in motions]
    return LearnedPoints(value, torch.from_numpy(np.concatenate(jacobian))).to(device)


def resized(image: Image, side: int) -> Image:
    """``image`` [S, S, C] at another size: uint8 [side, side, C]."""
    if image.shape[:2] == (side, side):
        return np.ascontiguousarray(image)
    how = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(image, (side, side), interpolation=how).astype(np.uint8, copy=False)
