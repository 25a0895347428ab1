"""People in pictures, by whatever finds them here: OpenPose's networks, or MediaPipe for one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from torch import nn

from livehead.frames import Image
from livehead.models.engine import Setting, prepare
from livehead.models.openpose.decoder import Decoder, People
from livehead.models.openpose.hand_face_boxes import (
    NOWHERE,
    Square,
    face_square,
    followed,
    hand_squares,
    highest_points,
    large_enough,
)
from livehead.models.openpose.heatmaps import Array, enlarged
from livehead.models.openpose.picture import (
    HEIGHT,
    as_input,
    back_scale,
    fit_picture,
    net_size,
    scaled_sizes,
)
from livehead.models.openpose.pytorch_openpose import decode_smoothed, smoothed_input
from livehead.models.openpose.skeletons import FACE_PARTS, HAND_PARTS, SKELETONS, Skeleton
from livehead.models.quantize import Ranges
from livehead.motion.body import Person
from livehead.perception.pose import PoseTracker, as_person

_SURE = 0.3  # least visibility of MediaPipe's points
_PHOTO = 0.3  # least sureness of a person in a photo; a film has more chances
_HAND_SCALES = (0.8, 0.88, 0.96, 1.04, 1.12, 1.2)  # of a hand's square, where several are tried


class PeopleFinder(Protocol):
    """Finds people in one picture after the other."""

    @property
    def skeleton(self) -> Skeleton: ...

    def find(self, image: Image) -> list[Person]:
        """The people in ``image``, uint8 [H, W, 3] RGB, in its pixels."""
        ...


class Network:
    """One of OpenPose's networks, ready to run: pictures in, maps out. Any number of threads may use it."""

    def __init__(self, network: nn.Module, setting: Setting, ranges: Ranges | None = None) -> None:
        self.setting = setting
        self._network = prepare(network, setting, parts={"": lambda maps: maps}, ranges=ranges)

    @torch.inference_mode()
    def __call__(self, pixels: Array) -> Array:
        """[3, H, W] in [-0.5, 0.5) BGR to maps float32 [C, H / 8, W / 8]."""
        x = torch.from_numpy(pixels)[None].to(self.setting.device, self.setting.dtype)
        maps = self._network(x.contiguous(memory_format=torch.channels_last))
        return np.ascontiguousarray(maps[0].float().cpu().numpy())


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture is looked at: ``height`` of the network's input, at how many ``scales``, as one of a ``film``."""

    height: int = HEIGHT
    scales: int = 1
    film: bool = False


class OpenPoseFinder:
    """All people, by a body network and its decoder."""

    def __init__(self, network: Network, decoder: Decoder, look: Look | None = None) -> None:
        self._network = network
        self._decoder = decoder
        self._look = look or Look()

    @property
    def skeleton(self) -> Skeleton:
        """Of the decoder."""
        return self._decoder.skeleton

    def find(self, image: Image) -> list[Person]:
        """The people in ``image``, uint8 [H, W, 3] RGB, in the decoder's order."""
        height, width = image.shape[:2]
        size = net_size(width, height, self._look.height, film=self._look.film)
        fitted = fit_picture(image, size)
        scale = back_scale(width, height, fitted.scale)
        if self._look.scales == 1:
            people = self._decoder.decode(self._network(fitted.pixels), scale)
        else:
            people = self._decoder.decode_dense(self._maps(image, size), scale)
        return _persons(people, self.skeleton)

    def _maps(self, image: Image, size: tuple[int, int]) -> Array:
        """The mean of the maps of several scales, each brought to the size of the largest input: [C, H, W]."""
        maps = [
            enlarged(self._network(fit_picture(image, each).pixels), size)
            for each in scaled_sizes(size, self._look.scales)
        ]
        return np.asarray(np.mean(maps, axis=0), np.float32)


class SmoothedFinder:
    """All people, by COCO_18's network as pytorch-openpose uses it."""

    skeleton = SKELETONS["coco18"]

    def __init__(self, network: Network) -> None:
        self._network = network

    def find(self, image: Image) -> list[Person]:
        """The people in ``image``, uint8 [H, W, 3] RGB."""
        height, width = image.shape[:2]
        return _persons(decode_smoothed(self._network(smoothed_input(image)), (width, height)), self.skeleton)


class MediaPipeFinder:
    """One person, the most evident, as BODY_25. ``film``: pictures are successive. Use it in a ``with``."""

    skeleton = SKELETONS["body25"]

    def __init__(self, *, film: bool) -> None:
        self._tracker = PoseTracker() if film else PoseTracker(static=True, confidence=_PHOTO)

    def __enter__(self) -> MediaPipeFinder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tracker.close()

    def find(self, image: Image) -> list[Person]:
        """The person in ``image``, uint8 [H, W, 3] RGB; nobody, or one."""
        pose = self._tracker.detect(image)
        height, width = image.shape[:2]
        return [] if pose is None else [as_person(pose, width, height, _SURE)]


class DetailFinder:
    """Hands and faces of the people that ``finder`` finds, where their networks are given.

    ``film``: pictures are successive, so a hand is looked for near where one was before. ``hand_scales``: look at each
    hand at several sizes and keep the best.
    """

    def __init__(
        self,
        finder: PeopleFinder,
        *,
        hand: Network | None = None,
        face: Network | None = None,
        film: bool = False,
        hand_scales: bool = False,
    ) -> None:
        self._finder = finder
        self._hand, self._face = hand, face
        self._film = film
        self._sizes = _HAND_SCALES if hand_scales else (1.0,)
        self._before: list[Square] = []

    @property
    def skeleton(self) -> Skeleton:
        """Of the bodies."""
        return self._finder.skeleton

    def find(self, image: Image) -> list[Person]:
        """As ``finder`` does, with hands and faces; zeros where there is nothing to be seen of one."""
        before, self._before = self._before, []
        return [self._detailed(person, image, before) for person in self._finder.find(image)]

    def _detailed(self, person: Person, image: Image, before: Sequence[Square]) -> Person:
        if self._hand is not None:
            left, right = (self._tracked(square, before) for square in hand_squares(person.pose, self.skeleton))
            person = replace(
                person,
                left_hand=self._points(self._hand, left, image, mirrored=True),
                right_hand=self._points(self._hand, right, image, mirrored=False),
            )
        if self._face is not None:
            square = face_square(person.pose, self.skeleton)
            face = np.zeros((FACE_PARTS, 3), np.float32)
            if large_enough(square):
                face = square.to_image(self._highest(self._face, square.cut(image)))
            person = replace(person, face=face)
        return person

    def _tracked(self, square: Square, before: Sequence[Square]) -> Square:
        if self._film and square.side:
            self._before.append(square)
        return followed(square, max(before, key=square.overlap, default=NOWHERE))

    def _points(self, hand: Network, square: Square, image: Image, *, mirrored: bool) -> Array:
        best = np.zeros((HAND_PARTS, 3), np.float32)
        if not square.side:
            return best
        for times in self._sizes:
            looked = square if times == 1 else square.about(2 * round(square.side * times / 2))
            found = self._highest(hand, looked.cut(image, mirrored=mirrored))
            if found[:, 2].mean() > best[:, 2].mean():
                best = looked.to_image(found, mirrored=mirrored)
        return best

    def _highest(self, network: Network, cut: Image) -> Array:
        """Points [K, 3] in a square cut, uint8 RGB; the last plane, the background, is none."""
        return highest_points(network(as_input(cut[..., ::-1]))[:-1])


def _persons(people: People, skeleton: Skeleton) -> list[Person]:
    return [
        Person(skeleton.name, points, float(score)) for points, score in zip(people.points, people.score, strict=True)
    ]
