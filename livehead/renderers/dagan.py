"""The renderers ``dagan`` and ``dagan-spade``: the published generators at 256 x 256, imported weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.models.dagan.dense_motion import MotionMasks
from livehead.models.dagan.generator import DaganEncodedSource, DaganGenerator, stack_sources
from livehead.models.dagan.keypoint_motion import KeypointMotionField
from livehead.models.engine import CompilableParts, ExecutionConfig, FloatType, optimize_for_inference
from livehead.models.grid import resize_sampling_grid
from livehead.models.quantize import ActivationRanges
from livehead.motion.keypoints import Array, Keypoints
from livehead.perception.portrait import Portrait
from livehead.perception.rgbd import DAGAN_SIDE, RgbdDetector, resize_image, to_keypoints, to_learned_points
from livehead.perception.segmentation import SelfieSegmenter
from livehead.renderers.debug_panels import DebugPanels
from livehead.renderers.remap import resize_matte, sample_image

_PARTS: CompilableParts = {
    "motion.dense": lambda mask, occlusion: MotionMasks(mask, occlusion, None),
    "attention": lambda features: features,
    "decoder": lambda picture: picture,
}
_PART_PRECISION: Mapping[str, FloatType] = {"attention": "bf16"}  # its weights have no ranges to be measured beforehand


@dataclass(frozen=True, slots=True, eq=False)
class DaganAvatar:
    """A portrait prepared for ``DaganRenderer``.

    ``motion`` has its learned key points; ``image`` is uint8 [256, 256, 3] RGB; ``disparity`` float32 [256, 256] in (0,
    1), large is near; ``person`` float32 [256, 256] in [0, 1]. A generator's results for them are computed when they
    are first needed and kept.
    """

    motion: Keypoints
    image: Image
    disparity: Array
    person: Array
    _encoded_sources: WeakKeyDictionary[DaganGenerator, DaganEncodedSource] = field(
        default_factory=WeakKeyDictionary, repr=False
    )


class DaganPicture(NamedTuple):
    """The network's output for one request.

    ``image`` is uint8 [256, 256, 3] RGB; ``grid`` float32 [h, w, 2], where in the source each pixel comes from, in [-1,
    1], on the processor.
    """

    image: Image
    grid: torch.Tensor


class DaganRenderer:
    """Draws portraits in the motion of ``detector``'s own key points.

    The network's own pictures are 256 pixels wide and high; others are resampled. ``alpha``: the pictures are RGBA,
    with straight alpha of the person alone. ``network`` and ``detector`` come from the same training; both run under
    the detector's setting, for int8 with the network's ``ranges``.
    """

    def __init__(
        self,
        network: DaganGenerator,
        detector: RgbdDetector,
        *,
        alpha: bool = False,
        ranges: ActivationRanges | None = None,
        threads: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.detector = detector
        setting = replace(detector.setting, threads=threads or detector.setting.threads)
        self._network = optimize_for_inference(network, setting, ("down",), _PARTS, ranges, _PART_PRECISION)

    def with_alpha(self, alpha: bool) -> DaganRenderer:
        """Return the same renderer around the same network, with pictures that have ``alpha`` or not."""
        other = copy.copy(self)
        other.alpha = alpha
        return other

    @property
    def device(self) -> torch.device:
        """The torch device that the networks run on."""
        return self.setting.device

    @property
    def avatar_type(self) -> type[DaganAvatar]:
        """The class of the avatars that this renderer prepares."""
        return DaganAvatar

    @property
    def setting(self) -> ExecutionConfig:
        """The device and the precision that the networks run with."""
        return self.detector.setting

    @property
    def networks(self) -> Mapping[str, torch.nn.Module]:
        """All networks that take part, by the names under which their ranges are kept."""
        return {**self.detector.parts, "generator": self._network}

    @property
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """The parts of the network that a frame goes through, by name, for timing."""
        return {name: self._network.get_submodule(name) for name in ("motion", "attention", "decoder")}

    @property
    def motion_sets(self) -> frozenset[str]:
        """The sets of points that this renderer takes: the detector's key points."""
        return frozenset({self.detector.motion_set})

    @property
    def hardware(self) -> str:
        """The hardware and the precision of the networks, in words."""
        return self.setting.description

    def prepare(self, source: Portrait) -> DaganAvatar:
        """Find depth, key points and the person, and encode the portrait."""
        image = resize_image(source.image, DAGAN_SIDE)
        look = self.detector.detect_batch([image])
        person = source.crop_cutout(DAGAN_SIDE)
        if person is None:
            with SelfieSegmenter(refine=False) as segmentation:
                person = np.asarray(segmentation.segment_person(image), np.float32)
        (motion,) = to_keypoints(look.points, self.detector.motion_set, 0)
        avatar = DaganAvatar(motion, image, look.disparity[0, 0].cpu().numpy(), person)
        self.encode(avatar)
        return avatar

    def render(self, avatar: DaganAvatar, motion: Keypoints, size: int) -> Image:
        """Draw the portrait in that motion: uint8 [size, size, 3] RGB, or [size, size, 4] with ``alpha``."""
        return self.render_many([RenderRequest(avatar, motion, size)])[0]

    def render_many(self, requests: Sequence[RenderRequest[DaganAvatar, Keypoints]]) -> list[Image]:
        """Draw all ``requests``; the network draws all of them at once."""
        if not requests:
            return []
        outputs = self.run_network(requests)
        return [self.finish_image(request, output) for request, output in zip(requests, outputs, strict=True)]

    def batch_key(self, request: RenderRequest[DaganAvatar, Keypoints]) -> str:
        """Return one key for all requests, since the network's pictures are all of one size."""
        return self.detector.motion_set

    @torch.inference_mode()
    def run_network(self, requests: Sequence[RenderRequest[DaganAvatar, Keypoints]]) -> list[DaganPicture]:
        """Run the network for ``requests``."""
        code = stack_sources([self.encode(request.avatar) for request in requests])
        points = to_learned_points([request.motion for request in requests], self.setting.device)
        moved = self._network.predict_motion(code, points)
        drawn = self._network.decode(code, moved)
        pictures = (drawn * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        grids = moved.sampling_grid.float().cpu()
        return [DaganPicture(picture, grid) for picture, grid in zip(pictures, grids, strict=True)]

    @torch.inference_mode()
    def encode(self, avatar: DaganAvatar) -> DaganEncodedSource:
        """Encode the source with this renderer's network; the result is kept with the avatar."""
        known = avatar._encoded_sources.get(self._network)
        if known is None:
            device = self.setting.device
            image = torch.from_numpy(avatar.image).to(device).permute(2, 0, 1)[None].float() / 255
            disparity = torch.from_numpy(avatar.disparity).to(device)[None, None]
            known = self._network.encode(image, disparity, to_learned_points([avatar.motion], device))
            avatar._encoded_sources[self._network] = known
        return known

    @torch.inference_mode()
    def predict_motion(self, avatar: DaganAvatar, motion: Keypoints) -> KeypointMotionField:
        """Compute the motion field alone, without drawing anything."""
        return self._network.predict_motion(self.encode(avatar), to_learned_points([motion], self.setting.device))

    @torch.inference_mode()
    def debug_panels(self, avatar: DaganAvatar, motion: Keypoints) -> DebugPanels:
        """Compute the intermediate results that led to the picture of ``motion``, for display."""
        code, moved = self.encode(avatar), self.predict_motion(avatar, motion)
        side = moved.sampling_grid.shape[1]
        middle = avatar.motion.value[0].mean(axis=0)
        row, column = (int(np.clip((middle[axis] + 1) / 2 * side, 0, side - 1)) for axis in (1, 0))
        attention = self._network.attention_weights(code, moved, torch.tensor([row * side + column]))
        return DebugPanels(
            image=avatar.image,
            disparity=avatar.disparity,
            source=avatar.motion.value[0],
            driving=motion.value[0],
            sampling_grid=moved.sampling_grid[0].float().cpu().numpy(),
            occlusion=moved.occlusion[0, 0].float().cpu().numpy(),
            attention=attention[0, 0].float().cpu().numpy().reshape(side, side),
            query_cell=(row, column),
        )

    def finish_image(self, request: RenderRequest[DaganAvatar, Keypoints], output: DaganPicture) -> Image:
        """Bring the network's picture to the size asked for, with the person's matte where there is alpha."""
        drawn = resize_image(output.image, request.size)
        if not self.alpha:
            return drawn
        grid = resize_sampling_grid(output.grid[None], DAGAN_SIDE, DAGAN_SIDE)[0].numpy()
        pixels = ((grid + 1) * DAGAN_SIDE - 1) / 2
        return np.dstack([drawn, resize_matte(sample_image(request.avatar.person, pixels), request.size)])
