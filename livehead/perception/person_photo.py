"""From a photo to the square picture of one person that PIFuHD looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from livehead.config import FaceChoice
from livehead.errors import SourceError
from livehead.frames import Image
from livehead.perception import body_crop
from livehead.perception.body_crop import Body25Points
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.segmentation import SelfieSegmenter

MaskArray: TypeAlias = npt.NDArray[np.float32]

_Pixel = TypeVar("_Pixel", np.uint8, np.float32)

PIFUHD_SIDE = 1024
"""The side of the square, in pixels."""

CROP_RULES: Mapping[str, Callable[[Body25Points], PixelSquare]] = MappingProxyType(
    {"full": body_crop.crop_full_body, "upper": body_crop.crop_upper_body, "face": body_crop.crop_face}
)
"""The rules of ``body_crop`` by the name that a user gives."""

_BACKGROUND_GREY = 127.5  # what stands in the place of the background: the middle of the range
_MIN_SIDE, _RECOMMENDED_SIDE = 128, 512  # pixels of the photo along the square's side
_PERSON_THRESHOLD = 0.5


class PosedBody(Protocol):
    """A person in a picture: ``pose`` [25, 3], BODY_25's x and y in pixels and a score, 0 for what was not found."""

    @property
    def pose(self) -> Body25Points: ...


class BodyFinder(Protocol):
    """Finds people."""

    def find(self, image: Image) -> Sequence[PosedBody]:
        """All in ``image`` uint8 [H, W, 3] RGB."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PersonPhoto:
    """One person in a square: ``image`` uint8 [1024, 1024, 3] RGB, ``mask`` float32 [1024, 1024] in [0, 1], the share
    of the person, and ``hints`` on what could be better, a sentence each."""

    image: Image
    mask: MaskArray
    hints: tuple[str, ...]


def prepare_person_photo(
    photo: Image,
    finder: BodyFinder,
    crop: str = "full",
    *,
    keep_background: bool = False,
    person_choice: FaceChoice = "largest",
) -> PersonPhoto:
    """One person of ``photo``, uint8 [H, W, 3] RGB or [H, W, 4] RGBA with straight alpha.

    ``person_choice`` names one of several; the largest is the tallest. ``crop`` is one of ``CROP_RULES``. Without
    ``keep_background`` grey takes its place: alpha says where it is, or else a segmentation.
    Raises: SourceError when there is nobody, or too little of them.
    """
    colours, alpha = photo[:, :, :3], _alpha_matte(photo)
    seen = colours if alpha is None else _composite_over_grey(colours, alpha)
    people = [body.pose for body in finder.find(np.ascontiguousarray(seen))]
    people = body_crop.sort_from_left(people)
    points = _choose_person(people, person_choice)
    rect = CROP_RULES[crop](points)
    if rect.side < _MIN_SIDE:
        raise SourceError(
            f"the person is too small: {rect.side} pixels with what is around",
            f"use a photo where that is {_RECOMMENDED_SIDE}",
        )
    if alpha is not None:
        share = rect.extract(alpha)
        image, person = _resize_square(_composite_over_grey(rect.extract(colours), share)), _resize_square(share)
    else:
        image = _resize_square(rect.extract(colours))
        with SelfieSegmenter() as segmentation:
            person = segmentation.segment_person(image) * _resize_square(
                rect.extract(np.ones(colours.shape[:2], np.float32))
            )
        person = _isolate_person(person, points, rect)
    if not (person > _PERSON_THRESHOLD).any():
        raise SourceError("the person cannot be told from the background", "use a photo with a plainer background")
    if alpha is None and not keep_background:
        image = _composite_over_grey(image, person)
    return PersonPhoto(image, person, _person_hints(people, points, rect, crop))


def _choose_person(people: Sequence[Body25Points], choice: FaceChoice) -> Body25Points:
    """The one of ``people``, from left to right, that ``choice`` names. Raises: SourceError."""
    tallest = body_crop.find_tallest(people)
    if tallest is None:
        raise SourceError("no person was found in the photo", "use a photo that shows one from head to feet")
    if choice == "largest":
        return tallest
    number = 1 if choice == "left" else len(people) if choice == "right" else int(choice)
    if number > len(people):
        there = "one person was" if len(people) == 1 else f"{len(people)} people were"
        raise SourceError(
            f"there is no person {number} in the photo: {there} found",
            f"choose one from 1 to {len(people)}, counted from the left" if len(people) > 1 else "leave --person out",
        )
    return people[number - 1]


def _alpha_matte(photo: Image) -> MaskArray | None:
    """Alpha [H, W] in [0, 1], if there is one that says anything."""
    if photo.shape[2] == 3 or photo[:, :, 3].min() == 255:
        return None
    return photo[:, :, 3].astype(np.float32) / 255


def _composite_over_grey(colours: Image, share: MaskArray) -> Image:
    """Straight alpha: what transparent pixels hold does not shine through."""
    mixed = colours * share[:, :, None] + _BACKGROUND_GREY * (1 - share[:, :, None])
    rounded: Image = np.rint(mixed).astype(np.uint8)
    return rounded


def _resize_square(square: npt.NDArray[_Pixel]) -> npt.NDArray[_Pixel]:
    """Bilinear, as in the published code."""
    return np.asarray(cv2.resize(square, (PIFUHD_SIDE, PIFUHD_SIDE), interpolation=cv2.INTER_LINEAR), square.dtype)


def _isolate_person(person: MaskArray, points: Body25Points, rect: PixelSquare) -> MaskArray:
    """The patch of ``person`` that holds most of the points; others nearby are not reconstructed."""
    count, labels = cv2.connectedComponents((person > _PERSON_THRESHOLD).astype(np.uint8))
    if count <= 2:
        return person
    place = (points[points[:, 2] > _PERSON_THRESHOLD, :2] - (rect.left, rect.top)) * (PIFUHD_SIDE / rect.side)
    column, row = place.T.round().astype(int).clip(0, PIFUHD_SIDE - 1)
    votes = np.bincount(labels[row, column], minlength=count)
    votes[0] = 0
    if not votes.any():
        return person
    own = (labels == int(np.argmax(votes))).astype(np.uint8)
    around = cv2.dilate(own, np.ones((9, 9), np.uint8))  # with its soft edge
    result: MaskArray = np.where((around > 0) & ((labels == 0) | (own > 0)), person, 0).astype(np.float32)
    return result


def _person_hints(
    people: Sequence[Body25Points], points: Body25Points, rect: PixelSquare, crop: str
) -> tuple[str, ...]:
    hints = []
    if len(people) > 1:
        number = next(number for number, each in enumerate(people, 1) if each is points)
        taken = f"number {number} from the left is taken; --person left, right or a number takes another."
        hints.append(f"There are {len(people)} people in the photo: {taken}")
    if crop == "full" and not body_crop.has_visible_feet(points):
        hints.append("The feet are not in the photo: a photo of the whole person gives a better figure.")
    if rect.side < _RECOMMENDED_SIDE:
        hints.append(f"The person is small ({rect.side} pixels with what is around): a larger photo gives more detail.")
    return tuple(hints)
