"""The renderer ``compact``: the bundled depth-aware generator, its output blended with the photo at full size."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, cast
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.models.compact.build import build_compact
from livehead.models.compact.motion_prior import TorsoMotion
from livehead.models.compact.network import CompactGenerator, stack_sources
from livehead.models.compact.types import CompactEncodedSource, CompactOutput, MotionCues
from livehead.models.dagan.dense_motion import MotionMasks
from livehead.models.engine import (
    CompilableParts,
    ExecutionConfig,
    Precision,
    choose_execution_config,
    optimize_for_inference,
)
from livehead.models.quantize import ActivationRanges, split_ranges
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.torso import rest_torso_points
from livehead.motion.keypoints import MESH478, Array, Keypoints, to_pixels
from livehead.perception.portrait import Portrait
from livehead.perception.segmentation import SelfieSegmenter
from livehead.renderers.remap import PixelArrayT, pixel_grid, resize_matte, sample_image, upsample_image
from livehead.renderers.warp.mouth import MouthInterior, analyse_mouth, draw_cavity
from livehead.weights.safetensors_file import load_strict_state, read_weights

_SIDE = 192  # side of the picture that the network sees and generates: two cores draw it in time for 30 fps
_REDUCED_SIDE = 128  # the same side for outputs below full size: half the time of the other, 0.2 dB below it
_DENSITY = 2  # samples of the photo per pixel of output: linear samples of an enlarged photo stay sharp
_CAVITY_OPACITY = 0.7  # opacity of the darkening over the network's picture, inside a mouth that the photo shows closed
_EXACT_PARTS = ("geometry",)  # parts of the network that stay exact: half a pixel is lost in half precision
_PARTS: CompilableParts = {
    "motion": MotionMasks,
    "decoder": lambda logits: logits,
}  # what a frame costs, and what each of them returns
_TRACED_PARTS: CompilableParts = {
    "geometry": MotionCues,
    "flow_composer": lambda flow: flow,
    "source_warper": lambda *warped: warped,
}  # what lies around them: many small operations


@dataclass(frozen=True, slots=True, eq=False)
class CompactAvatar:
    """A portrait prepared for ``CompactRenderer``.

    ``image`` is uint8 [S, S, 3] RGB, ``person`` float32 [192, 192] in [0, 1]. The network's results for them are
    computed when they are first needed and kept, per network, side of its picture and size of output.
    """

    motion: Keypoints
    image: Image
    person: Array
    _encoded_sources: WeakKeyDictionary[CompactGenerator, dict[int, CompactEncodedSource]] = field(
        default_factory=WeakKeyDictionary, repr=False
    )
    _upsampled_photos: dict[int, Image] = field(default_factory=dict, repr=False)
    _mouth_cache: list[MouthInterior] = field(default_factory=list, repr=False)

    @property
    def mouth(self) -> MouthInterior:
        """The inside of the mouth as the portrait shows it."""
        if not self._mouth_cache:
            self._mouth_cache.append(analyse_mouth(self.image, self.motion.points3d()[0]))
        return self._mouth_cache[0]

    def upsampled_photo(self, side: int) -> Image:
        """Return the portrait with ``_DENSITY`` samples a pixel for an output of ``side`` pixels."""
        if side not in self._upsampled_photos:
            self._upsampled_photos[side] = upsample_image(_resize_image(self.image, side), _DENSITY)
        return self._upsampled_photos[side]


CompactRequest: TypeAlias = RenderRequest[CompactAvatar, Keypoints]
"""One picture that ``CompactRenderer`` is asked for."""


class CompactPicture(NamedTuple):
    """The network's output for one request.

    ``generated`` is uint8 [S, S, 3] RGB; ``blend`` float32 [S, S], the photo's share of each pixel; ``flow`` float32
    [G, G, 2], displacements in [-1, 1].
    """

    generated: Image
    blend: Array
    flow: Array


class CompactRenderer:
    """Draws portraits in the motion of ``mesh478``, given in the coordinates of the portrait's crop.

    Where a motion has a torso, the picture's torso follows it, else the network guesses it from the head.

    ``full_size`` is the side in pixels of an output at full quality; for a smaller one the network draws a smaller
    picture too, in half the time. With ``alpha`` the pictures are RGBA, with straight alpha of the person alone.
    ``precision``: ``auto`` takes the fastest that is safe on this machine, ``fp32`` is exact. ``threads`` is the number
    for the parts that OpenVINO compiles, all cores if None. ``network`` replaces the bundled weights, for int8 with
    their ``ranges``.

    Raises: WeightsError, ConfigError.
    """

    def __init__(
        self,
        full_size: int = 512,
        *,
        alpha: bool = False,
        precision: Precision = "auto",
        threads: int | None = None,
        network: CompactGenerator | None = None,
        ranges: ActivationRanges | None = None,
    ) -> None:
        self._full_size = full_size
        self.alpha = alpha
        self.setting: ExecutionConfig = choose_execution_config(precision, threads=threads)
        if network is None:
            network, ranges = _load_bundled()
        self._network = optimize_for_inference(
            network, self.setting, _EXACT_PARTS, _PARTS, ranges, traced_parts=_TRACED_PARTS
        )

    def with_alpha(self, alpha: bool) -> CompactRenderer:
        """Return the same renderer around the same network, with pictures that have ``alpha`` or not."""
        other = copy.copy(self)
        other.alpha = alpha
        return other

    @property
    def device(self) -> torch.device:
        """The torch device that the network runs on."""
        return self.setting.device

    @property
    def avatar_type(self) -> type[CompactAvatar]:
        """The class of the avatars that this renderer prepares."""
        return CompactAvatar

    @property
    def motion_sets(self) -> frozenset[str]:
        """The sets of points that this renderer takes: the face mesh with irises."""
        return frozenset({MESH478})

    @property
    def parts(self) -> Mapping[str, torch.nn.Module]:
        """The parts of the network that a frame goes through, by name, for timing."""
        return {name: self._network.get_submodule(name) for name in (*_PARTS, *_TRACED_PARTS)}

    @property
    def hardware(self) -> str:
        """The hardware and the precision of the network, in words."""
        return self.setting.description

    def prepare(self, source: Portrait) -> CompactAvatar:
        """Segment the portrait and encode it. Raises: SourceError."""
        if source.motion.set != MESH478:
            raise SourceError(f"compact takes {MESH478}, not {source.motion.set}", subject=source.name)
        person = source.crop_cutout(_SIDE)
        if person is None:
            with SelfieSegmenter(refine=False) as segmentation:
                found = segmentation.segment_person(source.image)
            person = np.asarray(cv2.resize(found, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)
        avatar = CompactAvatar(source.motion, source.image, person)
        self._encode_source(avatar, _SIDE)
        avatar.upsampled_photo(self._full_size)
        return avatar

    def render(self, avatar: CompactAvatar, motion: Keypoints, size: int) -> Image:
        """Draw the portrait in that motion: uint8 [size, size, 3] RGB, or [size, size, 4] with ``alpha``."""
        return self.render_many([RenderRequest(avatar, motion, size)])[0]

    def render_many(self, requests: Sequence[CompactRequest]) -> list[Image]:
        """Draw all ``requests``; those with network pictures of the same side go through the network at once."""
        groups: dict[int, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(self.batch_key(request), []).append(number)
        pictures: dict[int, Image] = {}
        for numbers in groups.values():
            outputs = self.run_network([requests[number] for number in numbers])
            for number, output in zip(numbers, outputs, strict=True):
                pictures[number] = self.finish_image(requests[number], output)
        return [pictures[number] for number in range(len(requests))]

    def batch_key(self, request: CompactRequest) -> int:
        """Return the side in pixels of the picture that the network sees and generates for ``request``."""
        return _SIDE if request.size >= self._full_size else _REDUCED_SIDE

    @torch.inference_mode()
    def run_network(self, requests: Sequence[CompactRequest]) -> list[CompactPicture]:
        """Run the network for ``requests``, all of one ``batch_key``."""
        side = self.batch_key(requests[0])
        code = stack_sources([self._encode_source(request.avatar, side) for request in requests])
        driving = torch.from_numpy(np.concatenate([request.motion.points3d() for request in requests]))
        torso = _collect_torso_motion(requests, self.setting.device)
        field = self._network.predict_motion(code, driving.to(self.setting.device), torso)
        return _to_host(self._network.decode(code, field))

    @torch.inference_mode()
    def _encode_source(self, avatar: CompactAvatar, side: int) -> CompactEncodedSource:
        known = avatar._encoded_sources.setdefault(self._network, {})
        if side not in known:
            image = torch.from_numpy(_resize_image(avatar.image, side)).permute(2, 0, 1)[None].float() / 255
            person = torch.from_numpy(_resize_image(avatar.person, side))[None, None]
            points = torch.from_numpy(avatar.motion.points3d())
            known[side] = self._network.encode(*(part.to(self.setting.device) for part in (image, person, points)))
        return known[side]

    def finish_image(self, request: CompactRequest, output: CompactPicture) -> Image:
        """Warp the photo at full size along the network's flow and blend it with the generated picture."""
        avatar, size = request.avatar, request.size
        generated, blend, flow = output
        whole = (size, size)
        shift = cv2.resize(flow, whole, interpolation=cv2.INTER_LINEAR)
        places = np.asarray(cv2.scaleAdd(shift, _DENSITY * size / 2, pixel_grid(size, _DENSITY)), np.float32)
        photo = sample_image(avatar.upsampled_photo(size), places)
        drawn = cv2.resize(generated, whole, interpolation=cv2.INTER_LINEAR)
        share = cv2.resize(blend, whole, interpolation=cv2.INTER_LINEAR)
        picture: Image = cv2.blendLinear(photo, drawn, share, 1 - share).astype(np.uint8, copy=False)
        _draw_mouth(picture, avatar, request.motion.points3d()[0])
        return np.dstack([picture, _warp_matte(avatar.person, flow, size)]) if self.alpha else picture


def _draw_mouth(picture: Image, avatar: CompactAvatar, face: Array) -> None:
    """Darken, in place, a mouth that the photo shows closed: the network can only guess, palely, what is inside."""
    mouth = avatar.mouth
    if mouth.toothless == 0:
        return
    size = picture.shape[0]
    scale = fit_head_motion(avatar.motion.points3d()[0], face).scale
    places, inside = (to_pixels(points[:, :2], size, size) for points in (face, mouth.interior_points(face, scale)))
    draw_cavity(picture, mouth, places, inside, scale * size / 2, _CAVITY_OPACITY * mouth.toothless)


def _warp_matte(person: Array, flow: Array, size: int) -> Image:
    """Carry the person's share of each pixel along ``flow``: uint8 [size, size]."""
    shift = cv2.resize(flow, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    places = np.asarray(cv2.scaleAdd(shift, _SIDE / 2, pixel_grid(_SIDE)), np.float32)
    return resize_matte(sample_image(person, places), size)


def _collect_torso_motion(requests: Sequence[CompactRequest], device: torch.device) -> TorsoMotion:
    """Gather the torsos of avatars and motions, as far as the motions have them."""
    driving, source = [], []
    for request in requests:
        avatar, motion = request.avatar, request.motion
        own = rest_torso_points(avatar.motion.value[0])[None] if avatar.motion.torso is None else avatar.motion.torso
        driving.append(own if motion.torso is None else motion.torso)
        source.append(own)
    known = torch.tensor([float(request.motion.torso is not None) for request in requests])
    there, here = (torch.from_numpy(np.concatenate(points)) for points in (driving, source))
    return TorsoMotion(there.to(device), here.to(device), known.to(device))


def _load_bundled() -> tuple[CompactGenerator, ActivationRanges]:
    network = build_compact()
    tensors, ranges = split_ranges(read_weights("compact"))
    load_strict_state(network, tensors, "compact")
    return network, ranges


def _to_host(output: CompactOutput) -> list[CompactPicture]:
    generated = (output.generated * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    blend = output.alpha[:, 0].float().cpu().numpy()
    flow = output.field.flow.float().cpu().numpy()
    return [CompactPicture(*parts) for parts in zip(generated, blend, flow, strict=True)]


def _resize_image(image: PixelArrayT, side: int) -> PixelArrayT:
    """Resize ``image`` [S, S] or [S, S, C] to ``side`` pixels."""
    if image.shape[0] == side:
        return np.ascontiguousarray(image)
    how = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_CUBIC
    return cast(PixelArrayT, cv2.resize(image, (side, side), interpolation=how))
