#!/usr/bin/env python
"""Turn folders of head videos (and portraits) into a compact training cache, see ``livehead/training/cache.py``.

    scripts/prepare_clips.py --clips DIR --list train.txt --val-list val.txt --portraits DIR --out CACHE

Videos are taken as they are when square, else the square over the face in the first frame in which one is found.
Frames without a face are left out.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import mediapipe as mp
import numpy as np
from tqdm import tqdm

from livehead.training.cache import MASK_SIDE, ClipEntry, encode_landmarks, write_index

FACE_SHARE = 0.52  # face height over crop height, as the crops of a driver and of a portrait have it


class Observer:
    """MediaPipe's face mesh and person mask of one clip (a fresh tracker each, so that nothing leaks between clips)."""

    def __init__(self, still: bool) -> None:
        solutions = mp.solutions
        self._mesh = solutions.face_mesh.FaceMesh(static_image_mode=still, refine_landmarks=True, max_num_faces=1)
        self._person = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()
        self._person.close()

    def landmarks(self, rgb: np.ndarray) -> np.ndarray | None:
        """[478, 3] in [-1, 1] of the square picture, or None where no face is seen."""
        found = self._mesh.process(rgb).multi_face_landmarks
        if not found:
            return None
        points = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32)
        return points * 2 - np.array([1, 1, 0], np.float32)

    def mask(self, rgb: np.ndarray) -> np.ndarray:
        """The person in 16 steps, uint8 [64, 64] in 0..15."""
        mask = cv2.resize(
            self._person.process(rgb).segmentation_mask, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA
        )
        return np.rint(mask.clip(0, 1) * 15).astype(np.uint8)


def face_square(rgb: np.ndarray, observer: Observer) -> tuple[int, int, int] | None:
    """Left, top and side of the square head crop, inside the picture; None where no face is seen."""
    height, width = rgb.shape[:2]
    found = observer._mesh.process(rgb).multi_face_landmarks
    if not found:
        return None
    points = np.array([(p.x * width, p.y * height) for p in found[0].landmark])
    low, high = points.min(0), points.max(0)
    side = int(min(max((high[1] - low[1]) / FACE_SHARE, 1.3 * (high[0] - low[0])), width, height))
    centre = (low + high) / 2
    left = int(np.clip(centre[0] - side / 2, 0, width - side))
    top = int(np.clip(centre[1] - side / 2, 0, height - side))
    return left, top, side


def read_frames(path: Path, stride: int) -> tuple[list[np.ndarray], float]:
    """Every ``stride``-th RGB frame and the rate that is left."""
    if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
        return [cv2.imread(str(path))[..., ::-1].copy()], 1.0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25) / stride
        frames = [f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(stream)) if i % stride == 0]
    return frames, rate


def write_video(path: Path, frames: list[np.ndarray], fps: float, crf: int) -> None:
    """H.264 with few reference frames: it is always decoded from the start."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "medium", "g": "250"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def prepare(path: Path, split: str, out: Path, settings: argparse.Namespace) -> ClipEntry | None:
    """Write one clip or still to the cache; None where too few frames show a face."""
    frames, fps = read_frames(path, settings.stride)
    still = len(frames) == 1
    kept, landmarks, masks = [], [], []
    with Observer(still) as observer:
        square = (0, 0, frames[0].shape[0]) if frames[0].shape[0] == frames[0].shape[1] and not still else None
        for rgb in frames:
            square = square or face_square(rgb, observer)
            if square is None:
                continue
            left, top, side = square
            crop = np.ascontiguousarray(rgb[top : top + side, left : left + side])
            if side != settings.side:
                shrink = side > settings.side
                crop = cv2.resize(
                    crop, (settings.side,) * 2, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
                )
            points = observer.landmarks(crop)
            if points is not None:
                kept.append(crop)
                landmarks.append(points)
                masks.append(observer.mask(crop))
    if not kept or (not still and len(kept) < settings.minimum):
        return None
    name = f"{'still-' if still else ''}{path.stem}"
    write_video(out / f"{name}.mp4", kept, fps, settings.crf - (3 if still else 0))
    np.savez_compressed(out / f"{name}.npz", landmarks=encode_landmarks(np.stack(landmarks)), masks=np.stack(masks))
    return ClipEntry(name, split, len(kept), fps, still)


def listed(folder: Path, names: Path | None) -> list[Path]:
    """The files of ``folder`` that ``names`` lists one a line, or all of them."""
    if names is None:
        return sorted(p for p in folder.iterdir() if p.is_file())
    return [folder / line.strip() for line in names.read_text().splitlines() if line.strip()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of videos")
    parser.add_argument("--list", type=Path, help="names of the training clips in it, one a line (default: all)")
    parser.add_argument("--val-list", type=Path, help="names of the held-out clips in it")
    parser.add_argument("--portraits", type=Path, help="folder of photos, used as static training samples")
    parser.add_argument("--portrait-list", type=Path, help="names of the training photos in it (default: all)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--stride", type=int, default=3, help="take every n-th frame")
    parser.add_argument("--crf", type=int, default=22, help="H.264 quality, lower is better and bigger")
    parser.add_argument("--minimum", type=int, default=8, help="frames with a face under which a clip is left out")
    settings = parser.parse_args()
    settings.out.mkdir(parents=True, exist_ok=True)
    work = [(path, "train") for path in listed(settings.clips, settings.list)]
    if settings.val_list is not None:
        work += [(path, "val") for path in listed(settings.clips, settings.val_list)]
    if settings.portraits is not None:
        work += [(path, "train") for path in listed(settings.portraits, settings.portrait_list)]
    entries = [
        entry for path, split in tqdm(work) if (entry := prepare(path, split, settings.out, settings)) is not None
    ]
    write_index(settings.out, settings.side, entries)
    size = dict.fromkeys(("train", "val"), 0)
    for entry in entries:
        size[entry.split] += sum((settings.out / f"{entry.name}.{kind}").stat().st_size for kind in ("mp4", "npz"))
    for split, total in size.items():
        chosen = [entry for entry in entries if entry.split == split]
        print(f"{split}: {len(chosen)} clips, {sum(e.frames for e in chosen)} frames, {total / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
