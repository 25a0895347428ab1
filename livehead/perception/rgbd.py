"""DaGAN's own detector: face depth from a picture, learned key points from both (DaGAN, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from livehead.frames import Image
from livehead.models.dagan.depth import FaceDepthNetwork
from livehead.models.dagan.keypoints import KeypointDetector, LearnedKeypoints
from livehead.models.engine import ExecutionConfig, FloatType, optimize_for_inference
from livehead.models.quantize import ActivationRanges
from livehead.motion.keypoints import Keypoints

_EXACT_DTYPE: FloatType = "f32"

DAGAN_SIDE = 256
"""The side in pixels of the pictures that the published networks were trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class RgbdDetection:
    """``pictures`` [B, 3, 256, 256] RGB in [0, 1]; their ``disparity`` [B, 1, 256, 256] in (0, 1); ``points``."""

    pictures: Tensor
    disparity: Tensor
    points: LearnedKeypoints


class RgbdDetector:
    """The depth network and the key-point detector as one, for square pictures. Any number of threads may use it.

    Its key points are of the set ``dagan15`` (or ``dagan10``), in the published networks' own coordinates: x right, y
    down, the first and last cell of a 58 x 58 map at -1 and 1. They mean something to their own generator only.
    ``ranges``: for int8, by ``depth`` and ``keypoints``.
    """

    def __init__(
        self,
        depth: FaceDepthNetwork,
        keypoints: KeypointDetector,
        setting: ExecutionConfig,
        ranges: Mapping[str, ActivationRanges] | None = None,
    ) -> None:
        ranges = ranges or {}
        self.setting = setting
        self.motion_set = f"dagan{keypoints.keypoint_count}"
        self._channels = keypoints.input_channels
        self._depth = optimize_for_inference(depth, setting, (), {"": lambda disparity: disparity}, ranges.get("depth"))
        # less exact, points are off by a part of a pixel, which costs the picture more than all the rest together
        exact = [name for name, _ in keypoints.named_children()] if setting.device.type == "cpu" else ["down"]
        parts, floating = {"": LearnedKeypoints}, {"": _EXACT_DTYPE}
        self._keypoints = optimize_for_inference(
            keypoints, setting, tuple(exact), parts, ranges.get("keypoints"), floating
        )

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The networks that a picture goes through, by name: they are timed one by one."""
        return {"depth": self._depth, "keypoints": self._keypoints}

    @torch.inference_mode()
    def detect_batch(self, images: Sequence[Image]) -> RgbdDetection:
        """Depth and points of uint8 [S, S, 3] RGB pictures of any size."""
        batch = np.stack([resize_image(image, DAGAN_SIDE) for image in images])
        pictures = torch.from_numpy(batch).to(self.setting.device).permute(0, 3, 1, 2).float() / 255
        disparity = self._depth(pictures)
        seen = {4: torch.cat([pictures, disparity], dim=1), 3: pictures, 1: disparity}[self._channels]
        return RgbdDetection(pictures, disparity, self._keypoints(seen))

    def detect(self, image: Image, captured_ns: int = 0) -> Keypoints:
        """The key points of one picture, whatever it shows: B = 1, confidence 1."""
        return to_keypoints(self.detect_batch([image]).points, self.motion_set, captured_ns)[0]


def to_keypoints(points: LearnedKeypoints, name: str, captured_ns: int) -> list[Keypoints]:
    """A batch of ``points`` as one motion each, of the set ``name``."""
    value, jacobian = (part.float().cpu().numpy() for part in points)
    sure = np.ones(1, np.float32)
    return [Keypoints(name, value[i : i + 1], None, jacobian[i : i + 1], sure, captured_ns) for i in range(len(value))]


def to_learned_points(motions: Sequence[Keypoints], device: torch.device) -> LearnedKeypoints:
    """Motions of a learned set as one batch for a network."""
    value = torch.from_numpy(np.concatenate([motion.value for motion in motions]))
    eye = np.eye(2, dtype=np.float32)
    jacobian = [np.broadcast_to(eye, (*m.value.shape, 2)) if m.jacobian is None else m.jacobian for m in motions]
    return LearnedKeypoints(value, torch.from_numpy(np.concatenate(jacobian))).to(device)


def resize_image(image: Image, side: int) -> Image:
    """``image`` [S, S, C] at another size: uint8 [side, side, C]."""
    if image.shape[:2] == (side, side):
        return np.ascontiguousarray(image)
    how = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(image, (side, side), interpolation=how).astype(np.uint8, copy=False)
