"""The builder of the training cache: it turns videos and photos into head crops with landmarks and person masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from livehead.errors import CaptureError, SourceError
from livehead.frames import Image
from livehead.motion.keypoints import Array, to_pixels
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.picture_files import read_picture
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import cut_portrait, prepare_portrait, propose_crop
from livehead.perception.segmentation import SelfieSegmenter
from livehead.storage import replace_file
from livehead.training.cache import MASK_SIDE, ClipEntry, encode_landmarks

_PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_STILL_CRF_BONUS = 3  # a photo is one frame: it may cost more


@dataclass(frozen=True)
class CacheSettings:
    """``side`` of the crops in pixels; every ``stride``-th frame is taken; ``crf`` is H.264's quality.

    A clip needs ``min_frames`` frames with a face.
    """

    side: int = 256
    stride: int = 3
    crf: int = 22
    min_frames: int = 8


def cache_media_file(path: Path, split: str, out: Path, settings: CacheSettings) -> ClipEntry | None:
    """Write one video or photo to the cache ``out``; returns None when too few frames show a face.

    Raises: CaptureError when the file cannot be read.
    """
    still = path.suffix.lower() in _PHOTO_SUFFIXES
    seen = list(_photo_samples(path, settings.side) if still else _video_samples(path, settings))
    if len(seen) < (1 if still else settings.min_frames):
        return None
    name = f"still-{path.stem}" if still else path.stem
    fps = 1.0 if still else _frame_rate(path) / settings.stride
    crops, landmarks = zip(*seen, strict=True)
    with SelfieSegmenter(refine=False) as segmentation:
        masks = [_person_mask(segmentation, crop) for crop in crops]
    _write_video(out / f"{name}.mp4", crops, fps, settings.crf - _STILL_CRF_BONUS * still)
    with replace_file(out / f"{name}.npz", suffix=".npz") as partial:
        np.savez_compressed(partial, landmarks=encode_landmarks(np.stack(landmarks)), masks=np.stack(masks))
    return ClipEntry(name, split, len(crops), fps, still)


def _photo_samples(path: Path, side: int) -> Iterator[tuple[Image, Array]]:
    """Yield the head crop and mesh of a photo; nothing when there is no usable face."""
    picture = read_picture(path)
    try:
        portrait = prepare_portrait(picture, path.name)
    except SourceError:
        return
    whole = PixelSquare(0, 0, portrait.image.shape[0])
    yield cut_portrait(portrait.image, whole, side), portrait.motion.points3d()[0]


def _video_samples(path: Path, settings: CacheSettings) -> Iterator[tuple[Image, Array]]:
    """Yield crops and meshes [478, 3] of the frames that show a face.

    A square video is taken whole, another one cut about the face of the first frame that shows one.
    """
    square: PixelSquare | None = None
    with FaceMeshTracker() as mesh, FaceMeshTracker(static=True) as finder:
        for frame in _decode_frames(path, settings.stride):
            height, width = frame.shape[:2]
            if square is None:
                square = PixelSquare(0, 0, width) if width == height else _crop_about_face(frame, finder)
            if square is None:
                continue
            crop = cut_portrait(frame, square, settings.side)
            faces = mesh.detect(crop)
            if faces:
                yield crop, faces[0].points3d()[0]


def _crop_about_face(frame: Image, finder: FaceMeshTracker) -> PixelSquare | None:
    height, width = frame.shape[:2]
    faces = finder.detect(frame)
    if not faces:
        return None
    points = faces[0].points3d()[0]
    pixels = np.column_stack([to_pixels(points[:, :2], width, height), points[:, 2] * max(width, height) / 2])
    return propose_crop(pixels.astype(np.float32), width, height)


def _decode_frames(path: Path, stride: int) -> Iterator[Image]:
    try:
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % stride == 0:
                    yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.error.FFmpegError, IndexError) as error:
        raise CaptureError(f"{path} is no video ({error})", "leave it out of the folder", subject=str(path)) from error


def _frame_rate(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate or 25)


def _person_mask(segmentation: SelfieSegmenter, crop: Image) -> Image:
    """The person mask in 16 steps, uint8 [64, 64] in 0..15."""
    small = cv2.resize(segmentation.segment_person(crop), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(small.clip(0, 1) * 15), np.uint8)


def _write_video(path: Path, frames: tuple[Image, ...], fps: float, crf: int) -> None:
    with replace_file(path, suffix=path.suffix) as partial, av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        # it is always decoded from the start, so one key frame will do
        stream.options = {"crf": str(crf), "preset": "medium", "g": str(len(frames))}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
