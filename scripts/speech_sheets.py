#!/usr/bin/env python
"""Contact sheets of an avatar that speaks recordings, each with its waveform, to look at.

    scripts/speech_sheets.py --avatar me.jpg --speech FOLDER --out SHEETS [--model warp]

Every file is heard to its end; pictures are of its first seconds. Files that cannot be spoken are named at the end.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from livehead.animator import Animator
from livehead.assembly.live_avatar import build_live_avatar, initial_calibration, open_portraits
from livehead.assembly.model_factories import create_voice_driver
from livehead.assembly.speech_video import estimate_voice_motion
from livehead.avatars.cache import AvatarCache
from livehead.config import PictureSettings, RunSettings
from livehead.errors import LiveheadError
from livehead.frames import Image, Samples
from livehead.models.voice.logmel import SAMPLE_RATE
from livehead.motion.keypoints import Keypoints
from livehead.perception.audio_blocks import read_audio_blocks

TILE_SIZE, WAVEFORM_HEIGHT, COLUMNS = 160, 36, 12
WINDOW_S = 0.4  # of sound under each picture


def draw_waveform(sound: Samples, seconds: float) -> Image:
    """The sound [N] about a moment, uint8 [STRIP, SIDE, 3]; a line marks the moment."""
    strip = np.full((WAVEFORM_HEIGHT, TILE_SIZE, 3), 255, np.uint8)
    edges = ((seconds - WINDOW_S / 2 + np.linspace(0, WINDOW_S, TILE_SIZE + 1)) * SAMPLE_RATE).round().astype(int)
    for column, (start, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part = sound[max(start, 0) : max(end, 0)]
        height = int(min(2 * np.abs(part).max(), 1) * (WAVEFORM_HEIGHT // 2 - 1)) if len(part) else 0
        strip[WAVEFORM_HEIGHT // 2 - height : WAVEFORM_HEIGHT // 2 + height + 1, column] = (60, 90, 140)
    strip[:, TILE_SIZE // 2] = (210, 40, 40)
    return strip


def draw_contact_sheet(animator: Animator, motions: list[Keypoints], sound: Samples) -> Image:
    """Pictures of ``motions`` row by row, each over its moment of ``sound``."""
    tiles = []
    for motion in motions:
        picture = cv2.resize(animator.draw(motion)[..., :3], (TILE_SIZE, TILE_SIZE), interpolation=cv2.INTER_AREA)
        tiles.append(np.vstack([picture, draw_waveform(sound, motion.captured_ns * 1e-9)]))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[row : row + COLUMNS]) for row in range(0, len(tiles), COLUMNS)])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--avatar", type=Path, required=True, help="a photo")
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--model", default="warp")
    parser.add_argument("--rows", type=int, default=3, help=f"of {COLUMNS} pictures each")
    parser.add_argument("--fps", type=float, default=12.5, help="pictures a second")
    return parser.parse_args()


def main() -> int:
    given = parse_arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    settings = RunSettings(model=given.model, picture=PictureSettings(fit="crop"))
    store = AvatarCache()
    (portrait,) = open_portraits([given.avatar], store, tqdm.write)
    driver = create_voice_driver(portrait)
    calibration = initial_calibration(driver)
    live_avatar = build_live_avatar(
        settings, [portrait], driver, store, calibration=calibration, size=(2 * TILE_SIZE, 2 * TILE_SIZE)
    )
    failed = []
    for path in tqdm(sorted(path for path in given.speech.iterdir() if path.is_file())):
        try:
            blocks = list(read_audio_blocks(path, SAMPLE_RATE))
        except LiveheadError as error:
            failed.append(str(error))
            continue
        motions = list(estimate_voice_motion(create_voice_driver(portrait), iter(blocks), given.fps))
        chosen = motions[: given.rows * COLUMNS]
        picture = draw_contact_sheet(live_avatar.animator, chosen, np.concatenate(blocks, axis=1)[0])
        cv2.imwrite(str(given.out / f"{path.stem}.png"), picture[..., ::-1])
    for line in failed:
        print(line, file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
