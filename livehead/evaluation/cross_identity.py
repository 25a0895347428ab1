"""Cross-identity: portraits driven by clips of other persons.

There is no truth to compare with. So the figures tell whether the face is still found, is still the portrait's, makes
the performer's expression, and stands on a still background.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from livehead.errors import ConfigError, NoFaceError
from livehead.evaluation.identity import OTHER_PERSON_IDENTITY, identity_distance, measure_appearance
from livehead.evaluation.landmarks import FaceDetector, find_mesh, rotation_angle
from livehead.frames import Image
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Array, Keypoints

_TEMPLES = (127, 356)
_PROFILE_DEGREES = 45.0  # degrees of the line between the temples from the picture's plane
_BACKGROUND_SHARE = 0.02  # of person in a pixel, below which it is background; of background, below which there is none
_OUTLINE_MARGIN = 0.02  # of the longer side: how far from the person's rough outline the background begins
_SKULL_RADIUS_PIXELS = 75  # in a 256 x 256 clip: the scale of expression_akd


@dataclass(frozen=True, slots=True)
class CrossIdentityPair:
    """A portrait and a clip of somebody else."""

    portrait: Path
    clip: Path

    @property
    def name(self) -> str:
        """The pair's name, ``PORTRAIT by CLIP``."""
        return f"{self.portrait.stem} by {self.clip.stem}"


@dataclass(frozen=True, slots=True)
class CrossIdentityFigures:
    """Figures of one pair over its output frames.

    ``found`` is the share of frames in which the face is found again, ``identity`` 0 for the portrait's person and 1
    for another. ``expression_akd`` is the mean distance in pixels, head pose and face shape taken out, between how the
    performer's points moved from the first frame and how the avatar's moved from its own. ``pose_error`` is the mean
    angle in degrees between how the performer's head turned from the first frame and how the avatar's did.
    ``background`` is the mean absolute change, 0-1 range, from the first output frame outside the person; None when the
    person fills the picture.
    """

    frames: int
    found: float
    identity: float
    expression_akd: float
    pose_error: float
    background: float | None

    @property
    def worst_first_key(self) -> float:
        """A key to sort pairs by, the higher the worse: a face that is lost counts most."""
        return 100 * (1 - self.found) + self.identity + self.expression_akd / 3 + 20 * (self.background or 0.0)


class PersonSegmenter(Protocol):
    """Separates a person from the background, as ``livehead.perception.segmentation.SelfieSegmenter`` does."""

    def segment_person(self, image: Image) -> Array:
        """The share of person in each pixel: float32 [H, W] in [0, 1]."""
        ...


def choose_pairs(data: Path, splits: Sequence[str], count: int) -> list[CrossIdentityPair]:
    """Choose ``count`` pairs of different persons from ``splits`` of the collection at ``data``, always the same ones.

    Every portrait's and every clip's person is used once before one is used again, where there are enough.

    Raises: ConfigError when the collection is missing or has too few pairs.
    """
    record = data / "PROVENANCE.tsv"
    try:
        with record.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["split"] in splits]
    except (OSError, KeyError) as error:
        raise ConfigError(
            f"cannot read {record}",
            "give the folder of the collection (portraits, clips, PROVENANCE.tsv)",
            subject=str(data),
        ) from error
    portraits = _one_file_per_person_first([row for row in rows if row["kind"] == "portrait"])
    clips = _one_file_per_person_first([row for row in rows if row["kind"] == "clip"])
    pairs: list[CrossIdentityPair] = []
    for turn in range(len(clips)):
        for place, portrait in enumerate(portraits):
            clip = clips[(place + turn) % len(clips)]
            if portrait["person"] != clip["person"] and len(pairs) < count:
                pairs.append(CrossIdentityPair(data / portrait["file"], data / clip["file"]))
    if len(pairs) < count:
        raise ConfigError(f"only {len(pairs)} pairs of different persons in {record}", f"ask for fewer than {count}")
    return pairs


def is_profile(portrait: Image, finder: FaceDetector) -> bool:
    """Tell whether the face looks so far to a side, or is so hidden, that ``animate`` refuses the photo."""
    mesh = find_mesh(finder, portrait)
    if mesh is None:
        return True
    across = mesh.points3d()[0][_TEMPLES[1]] - mesh.points3d()[0][_TEMPLES[0]]
    return bool(np.degrees(np.abs(np.arctan2(across[2], across[0]))) > _PROFILE_DEGREES)


def evaluate_pair(
    portrait: Image,
    driving: Sequence[Image],
    outputs: Sequence[Image],
    finder: FaceDetector,
    segmentation: PersonSegmenter,
) -> CrossIdentityFigures:
    """Judge an animated portrait by its ``outputs``, one for each of ``driving``; all are uint8 [H, W, 3] RGB.

    Raises: NoFaceError when the portrait or the whole performance shows no face.
    """
    source = find_mesh(finder, portrait)
    performed = [find_mesh(finder, image) for image in driving]
    neutral = next((mesh for mesh in performed if mesh is not None), None)
    if source is None or neutral is None:
        raise NoFaceError("no face in the portrait or in the performance", "choose another pair")
    appearance = measure_appearance(portrait, source)
    shown = [find_mesh(finder, image) for image in outputs]
    at_first = next((mesh for mesh in shown if mesh is not None), None)
    identities = [
        identity_distance(measure_appearance(image, mesh), appearance) if mesh is not None else OTHER_PERSON_IDENTITY
        for image, mesh in zip(outputs, shown, strict=True)
    ]
    both = [
        (theirs, neutral, ours, at_first)
        for theirs, ours in zip(performed, shown, strict=True)
        if theirs is not None and ours is not None and at_first is not None
    ]
    return CrossIdentityFigures(
        frames=len(outputs),
        found=float(np.mean([mesh is not None for mesh in shown])),
        identity=float(np.mean(identities)),
        expression_akd=float(np.mean([_expression_distance(*each) for each in both])) if both else float("nan"),
        pose_error=float(np.mean([_rotation_error(*each) for each in both])) if both else float("nan"),
        background=_background_change(outputs, segmentation),
    )


def _one_file_per_person_first(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Sort the first file of each person before all others."""
    first: dict[str, dict[str, str]] = {}
    for row in rows:
        first.setdefault(row["person"], row)
    return [*first.values(), *(row for row in rows if row is not first[row["person"]])]


def _expression_distance(theirs: Keypoints, their_rest: Keypoints, ours: Keypoints, our_rest: Keypoints) -> float:
    """How differently two faces moved from their rest, in pixels of a face as large as one in a clip."""
    gap = _expression_offsets(theirs, their_rest) - _expression_offsets(ours, our_rest)
    return float(np.linalg.norm(gap[:, :2], axis=1).mean() * _SKULL_RADIUS_PIXELS)


def _rotation_error(theirs: Keypoints, their_rest: Keypoints, ours: Keypoints, our_rest: Keypoints) -> float:
    """How differently two heads turned from their rest, in degrees."""
    turns = [
        fit_head_motion(rest.points3d()[0], mesh.points3d()[0]).rotation
        for mesh, rest in ((theirs, their_rest), (ours, our_rest))
    ]
    return rotation_angle(turns[0].T @ turns[1])


def _expression_offsets(mesh: Keypoints, rest: Keypoints) -> Array:
    """Each point's offset [478, 3] from the face at rest, without the head's own motion, in radii of the skull."""
    face, still = mesh.points3d()[0], rest.points3d()[0]
    skull = still[FACE_MESH.rigid]
    radius = float(np.sqrt(((skull - skull.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return np.asarray((fit_head_motion(face, still).apply(face) - still) / radius, np.float32)


def _background_change(outputs: Sequence[Image], segmentation: PersonSegmenter) -> float | None:
    """The mean change of the pixels that are near no person in any frame; None when there are hardly any."""
    height, width = outputs[0].shape[:2]
    person = np.zeros((height, width), np.uint8)
    for image in outputs:
        person |= segmentation.segment_person(image) > _BACKGROUND_SHARE
    around = max(round(_OUTLINE_MARGIN * max(height, width)), 1)
    outside = cv2.dilate(person, np.ones((2 * around + 1,) * 2, np.uint8)) == 0
    if outside.mean() < _BACKGROUND_SHARE:
        return None
    first = outputs[0][outside].astype(np.int16)
    return float(np.mean([np.abs(image[outside] - first).mean() for image in outputs]) / 255)
