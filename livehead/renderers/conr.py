"""The renderer ``conr``: an anime character from its sheet, in any pose, cut out (imported weights)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch

from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.models.conr.network import ConrNetwork, stack_sheets
from livehead.models.conr.shader import LEVEL_COUNT, EncodedSheet
from livehead.models.engine import CompilableParts, ExecutionConfig, optimize_for_inference
from livehead.models.quantize import ActivationRanges
from livehead.motion.dense_pose import DENSE_POSE, DensePose
from livehead.motion.keypoints import Array
from livehead.perception.character_sheet import CharacterSheet
from livehead.perception.dense_pose_detector import DensePoseDetector
from livehead.perception.figure_framing import CONR_SIDE

_EXACT_PARTS = ("parser",)  # it runs once for a sheet, and everything depends on its result
_FULL_PRECISION_LAYERS = (
    "norm1",
    "norm2",
    "conv_rgba.0",
)  # layers of the decoder: they are cheap, and what eight bits lose there is seen at once
_POSE_PARTS: CompilableParts = {"pose": lambda *maps: list(maps)}
_WHOLE_PARTS: CompilableParts = {**_POSE_PARTS, "drawing": lambda picture: picture}
_BLOCK_PARTS: CompilableParts = {
    **_POSE_PARTS,
    **{f"drawing.shader.decoder_blocks.{level}": lambda planes: planes for level in range(LEVEL_COUNT)},
    "drawing.decoder": lambda picture: picture,
}


@dataclass(frozen=True, slots=True, eq=False)
class ConrAvatar:
    """A character sheet prepared for ``ConrRenderer``.

    ``motion`` is the pose of its first view, ``views`` uint8 [V, 256, 256, 4] RGBA with colours times alpha. A
    network's results for them are computed when they are first needed and kept.
    """

    motion: DensePose
    views: Image
    _encoded_sheets: WeakKeyDictionary[ConrNetwork, EncodedSheet] = field(default_factory=WeakKeyDictionary, repr=False)


class ConrRenderer:
    """Draws characters in ultra-dense poses: always RGBA with straight alpha, empty where a pose is.

    The network's own pictures are 256 pixels wide and high; others are resampled. ``ranges`` are needed for int8.
    """

    def __init__(
        self, network: ConrNetwork, setting: ExecutionConfig, *, ranges: ActivationRanges | None = None
    ) -> None:
        self.setting = setting
        coarse = {name: span for name, span in (ranges or {}).items() if not name.endswith(_FULL_PRECISION_LAYERS)}
        self._network = optimize_for_inference(
            network, setting, _EXACT_PARTS, _WHOLE_PARTS if setting.int8 else _BLOCK_PARTS, coarse
        )
        self.detector = DensePoseDetector(self._network.parser, setting)

    @property
    def avatar_type(self) -> type[ConrAvatar]:
        """The class of the avatars that this renderer prepares."""
        return ConrAvatar

    @property
    def network(self) -> ConrNetwork:
        """The network, prepared for the execution setting."""
        return self._network

    @property
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """The parts of the network that a frame goes through, by name, for timing."""
        pose, drawing = self._network.pose, self._network.drawing
        if self.setting.int8:
            return {"pose": pose, "drawing": drawing}
        blocks = {f"level{level}": block for level, block in enumerate(drawing.shader.decoder_blocks)}
        return {"pose": pose, **blocks, "decoder": drawing.decoder}

    @property
    def motion_sets(self) -> frozenset[str]:
        """The sets of points that this renderer takes: ultra-dense poses."""
        return frozenset({DENSE_POSE})

    @property
    def hardware(self) -> str:
        """The hardware and the precision of the networks, in words."""
        return self.setting.description

    def prepare(self, source: CharacterSheet) -> ConrAvatar:
        """Read the first view's pose, and encode all views."""
        pose = self.detector.detect([source.views[0]])[0]
        avatar = ConrAvatar(DensePose(pose, 0), source.views)
        self.encode(avatar)
        return avatar

    def render(self, avatar: ConrAvatar, motion: DensePose, size: int) -> Image:
        """Draw the character in that pose: uint8 [size, size, 4] RGBA, straight alpha."""
        return self.render_many([RenderRequest(avatar, motion, size)])[0]

    def render_many(self, requests: Sequence[RenderRequest[ConrAvatar, DensePose]]) -> list[Image]:
        """Draw all ``requests``; the network draws characters with equally many views together."""
        pictures = [np.zeros((request.size, request.size, 4), np.uint8) for request in requests]
        for numbers in _group_by_view_count(requests):
            drawn = self._draw_batch([requests[number] for number in numbers])
            for number, picture in zip(numbers, drawn, strict=True):
                pictures[number] = _to_output_image(picture, requests[number].size)
        return pictures

    @torch.inference_mode()
    def encode(self, avatar: ConrAvatar) -> EncodedSheet:
        """Encode the sheet with this renderer's network; the result is kept with the avatar."""
        known = avatar._encoded_sheets.get(self._network)
        if known is None:
            views = torch.from_numpy(avatar.views).to(self.setting.device).permute(0, 3, 1, 2)[None]
            known = avatar._encoded_sheets[self._network] = self._network.encode_views(views.float() / 255)
        return known

    @torch.inference_mode()
    def render_uncached(self, avatar: ConrAvatar, motion: DensePose, size: int) -> Image:
        """Draw like ``render`` by the published call, which keeps nothing of the sheet; for comparisons."""
        views = torch.from_numpy(avatar.views).to(self.setting.device).permute(0, 3, 1, 2)[None]
        drawn = self._network(views.float() / 255, self._to_pose_batch([motion]))
        return _to_output_image(drawn[0].permute(1, 2, 0).cpu().numpy(), size)

    @torch.inference_mode()
    def _draw_batch(self, requests: Sequence[RenderRequest[ConrAvatar, DensePose]]) -> Array:
        """Draw a batch: float32 [B, 256, 256, 4], straight alpha."""
        code = stack_sheets([self.encode(request.avatar) for request in requests])
        poses = self._to_pose_batch([request.motion for request in requests])
        drawn = self._network.render(code, self._network.encode_pose(poses))
        return np.asarray(drawn.permute(0, 2, 3, 1).cpu().numpy(), np.float32)

    def _to_pose_batch(self, motions: Sequence[DensePose]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack([motion.value for motion in motions]))
        return batch.to(self.setting.device).permute(0, 3, 1, 2)


def _group_by_view_count(requests: Sequence[RenderRequest[ConrAvatar, DensePose]]) -> Iterator[list[int]]:
    """Yield the numbers of the requests whose pose shows anything, in groups of equally many views."""
    groups: dict[int, list[int]] = {}
    for number, request in enumerate(requests):
        if request.motion.seen:
            groups.setdefault(len(request.avatar.views), []).append(number)
    yield from groups.values()


def _to_output_image(picture: Array, size: int) -> Image:
    """Convert float32 [S, S, 4] in [0, 1] to uint8 [size, size, 4].

    It is resampled with colours times alpha, so that no colour of a transparent pixel seeps in.
    """
    if size != CONR_SIDE:
        colour, alpha = picture[..., :3] * picture[..., 3:], picture[..., 3:]
        how = cv2.INTER_CUBIC if size > CONR_SIDE else cv2.INTER_AREA
        scaled = cv2.resize(np.dstack([colour, alpha]), (size, size), interpolation=how)
        alpha = scaled[..., 3:].clip(0, 1)
        picture = np.dstack([scaled[..., :3] / np.maximum(alpha, 1 / 255), alpha]).clip(0, 1)
    return np.asarray(np.rint(picture * 255), np.uint8)
