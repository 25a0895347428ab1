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
from livehead.models.engine import ExecutionConfig, optimize_for_inference
from livehead.models.openpose.decoder import BodyPoseDecoder, DecodedPeople
from livehead.models.openpose.hand_face_boxes import (
    EMPTY_REGION,
    SquareRegion,
    face_region,
    find_highest_points,
    hand_regions,
    is_large_enough,
    merge_with_previous,
)
from livehead.models.openpose.heatmaps import Array, resize_cubic
from livehead.models.openpose.network_input import (
    DEFAULT_HEIGHT,
    fit_image,
    input_to_image_scale,
    network_input_size,
    scaled_sizes,
    to_network_input,
)
from livehead.models.openpose.pytorch_openpose import decode_smoothed, resize_for_network
from livehead.models.openpose.skeletons import FACE_PARTS, HAND_PARTS, SKELETONS, Skeleton
from livehead.models.quantize import ActivationRanges
from livehead.motion.body import PersonKeypoints
from livehead.perception.mediapipe_pose import BodyPoseTracker, to_person

_MIN_VISIBILITY = 0.3  # least visibility of MediaPipe's points
_PHOTO_CONFIDENCE = 0.3  # least sureness of a person in a photo; a film has more chances
_HAND_SCALES = (0.8, 0.88, 0.96, 1.04, 1.12, 1.2)  # of a hand's square, where several are tried


class PeopleFinder(Protocol):
    """Finds people in one picture after the other."""

    @property
    def skeleton(self) -> Skeleton: ...

    def find(self, image: Image) -> list[PersonKeypoints]:
        """The people in ``image``, uint8 [H, W, 3] RGB, in its pixels."""
        ...


class PoseNetwork:
    """One of OpenPose's networks, ready to run: pictures in, maps out. Any number of threads may use it."""

    def __init__(self, network: nn.Module, setting: ExecutionConfig, ranges: ActivationRanges | None = None) -> None:
        self.setting = setting
        self._network = optimize_for_inference(network, setting, parts={"": lambda maps: maps}, ranges=ranges)

    @torch.inference_mode()
    def __call__(self, pixels: Array) -> Array:
        """[3, H, W] in [-0.5, 0.5) BGR to maps float32 [C, H / 8, W / 8]."""
        x = torch.from_numpy(pixels)[None].to(self.setting.device, self.setting.dtype)
        maps = self._network(x.contiguous(memory_format=torch.channels_last))
        return np.ascontiguousarray(maps[0].float().cpu().numpy())


@dataclass(frozen=True, slots=True)
class PoseOptions:
    """How a picture is looked at: ``height`` of the network's input, at how many ``scales``, as one of a ``film``."""

    height: int = DEFAULT_HEIGHT
    scales: int = 1
    is_video: bool = False


class OpenPoseFinder:
    """All people, by a body network and its decoder."""

    def __init__(self, network: PoseNetwork, decoder: BodyPoseDecoder, options: PoseOptions | None = None) -> None:
        self._network = network
        self._decoder = decoder
        self._options = options or PoseOptions()

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton whose parts the decoder finds."""
        return self._decoder.skeleton

    def find(self, image: Image) -> list[PersonKeypoints]:
        """The people in ``image``, uint8 [H, W, 3] RGB, in the decoder's order."""
        height, width = image.shape[:2]
        size = network_input_size(width, height, self._options.height, is_video=self._options.is_video)
        fitted = fit_image(image, size)
        scale = input_to_image_scale(width, height, fitted.scale)
        if self._options.scales == 1:
            people = self._decoder.decode(self._network(fitted.pixels), scale)
        else:
            people = self._decoder.decode_dense(self._average_scales(image, size), scale)
        return _to_persons(people, self.skeleton)

    def _average_scales(self, image: Image, size: tuple[int, int]) -> Array:
        """The mean of the maps of several scales, each brought to the size of the largest input: [C, H, W]."""
        maps = [
            resize_cubic(self._network(fit_image(image, each).pixels), size)
            for each in scaled_sizes(size, self._options.scales)
        ]
        return np.asarray(np.mean(maps, axis=0), np.float32)


class PytorchOpenPoseFinder:
    """All people, by COCO_18's network as pytorch-openpose uses it."""

    skeleton = SKELETONS["coco18"]

    def __init__(self, network: PoseNetwork) -> None:
        self._network = network

    def find(self, image: Image) -> list[PersonKeypoints]:
        """The people in ``image``, uint8 [H, W, 3] RGB."""
        height, width = image.shape[:2]
        return _to_persons(decode_smoothed(self._network(resize_for_network(image)), (width, height)), self.skeleton)


class MediaPipeFinder:
    """One person, the most evident, as BODY_25. ``film``: pictures are successive. Use it in a ``with``."""

    skeleton = SKELETONS["body25"]

    def __init__(self, *, is_video: bool) -> None:
        self._tracker = BodyPoseTracker() if is_video else BodyPoseTracker(static=True, confidence=_PHOTO_CONFIDENCE)

    def __enter__(self) -> MediaPipeFinder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tracker.close()

    def find(self, image: Image) -> list[PersonKeypoints]:
        """The person in ``image``, uint8 [H, W, 3] RGB; nobody, or one."""
        pose = self._tracker.detect(image)
        height, width = image.shape[:2]
        return [] if pose is None else [to_person(pose, width, height, _MIN_VISIBILITY)]


class HandFaceFinder:
    """Hands and faces of the people that ``finder`` finds, where their networks are given.

    ``film``: pictures are successive, so a hand is looked for near where one was before. ``hand_scales``: look at each
    hand at several sizes and keep the best.
    """

    def __init__(
        self,
        finder: PeopleFinder,
        *,
        hand: PoseNetwork | None = None,
        face: PoseNetwork | None = None,
        is_video: bool = False,
        hand_scales: bool = False,
    ) -> None:
        self._finder = finder
        self._hand, self._face = hand, face
        self._is_video = is_video
        self._hand_scales = _HAND_SCALES if hand_scales else (1.0,)
        self._last_hands: list[SquareRegion] = []

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the bodies."""
        return self._finder.skeleton

    def find(self, image: Image) -> list[PersonKeypoints]:
        """The people that the body finder finds, with hands and faces; zeros for what is not seen of one."""
        before, self._last_hands = self._last_hands, []
        return [self._add_hands_and_face(person, image, before) for person in self._finder.find(image)]

    def _add_hands_and_face(
        self, person: PersonKeypoints, image: Image, before: Sequence[SquareRegion]
    ) -> PersonKeypoints:
        if self._hand is not None:
            left, right = (self._track_hand(square, before) for square in hand_regions(person.pose, self.skeleton))
            person = replace(
                person,
                left_hand=self._find_hand_points(self._hand, left, image, mirrored=True),
                right_hand=self._find_hand_points(self._hand, right, image, mirrored=False),
            )
        if self._face is not None:
            square = face_region(person.pose, self.skeleton)
            face = np.zeros((FACE_PARTS, 3), np.float32)
            if is_large_enough(square):
                face = square.map_to_image(self._find_peaks(self._face, square.crop_image(image)))
            person = replace(person, face=face)
        return person

    def _track_hand(self, square: SquareRegion, before: Sequence[SquareRegion]) -> SquareRegion:
        if self._is_video and square.side:
            self._last_hands.append(square)
        return merge_with_previous(square, max(before, key=square.overlap_area, default=EMPTY_REGION))

    def _find_hand_points(self, hand: PoseNetwork, square: SquareRegion, image: Image, *, mirrored: bool) -> Array:
        best = np.zeros((HAND_PARTS, 3), np.float32)
        if not square.side:
            return best
        for times in self._hand_scales:
            looked = square if times == 1 else square.with_side(2 * round(square.side * times / 2))
            found = self._find_peaks(hand, looked.crop_image(image, mirrored=mirrored))
            if found[:, 2].mean() > best[:, 2].mean():
                best = looked.map_to_image(found, mirrored=mirrored)
        return best

    def _find_peaks(self, network: PoseNetwork, cut: Image) -> Array:
        """Points [K, 3] in a square cut, uint8 RGB; the last plane, the background, is none."""
        return find_highest_points(network(to_network_input(cut[..., ::-1]))[:-1])


def _to_persons(people: DecodedPeople, skeleton: Skeleton) -> list[PersonKeypoints]:
    return [
        PersonKeypoints(skeleton.name, points, float(score))
        for points, score in zip(people.points, people.score, strict=True)
    ]
