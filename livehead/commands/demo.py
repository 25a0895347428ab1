"""``livehead demo``: the main job with no camera, microphone or GPU."""

from __future__ import annotations

import argparse
import asyncio
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from livehead.animator import Animator
from livehead.assembly.live_avatar import build_live_avatar, make_driver
from livehead.assembly.progress import ProgressMeter
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait, continuous_shots
from livehead.avatars.cache import AvatarCache
from livehead.bench.live_pipeline import measure_pipeline
from livehead.bench.machine_load import OtherProgramsLoad
from livehead.capture.synthetic import PreparedFrame
from livehead.cli_options import print_status
from livehead.concurrency import Worker
from livehead.config import RunSettings
from livehead.errors import SinkError
from livehead.frames import Image, VideoFrame
from livehead.interfaces import DriverInputs
from livehead.sinks.file import FileSink

FPS = 25
HALF_SIZE = (640, 720)
INSET_HEIGHT = 180
JUMP_COUNT = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    out = "folder that demo.mp4 and demo.png are written to"
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help=out)


def main(args: argparse.Namespace) -> int:
    """Animate both portraits that ship by the synthetic performer, then measure the latency of the live pipeline."""
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(
            f"cannot make {args.out} ({error.strerror})", "give --out a folder that can be written"
        ) from error
    settings = RunSettings()
    print_status("filming the synthetic performer")
    shots = continuous_shots(bundled_portrait(DRAWN_PORTRAIT), settings.camera.size, FPS)
    video, sheet = args.out / "demo.mp4", args.out / "demo.png"
    picked = asyncio.run(_record_demo(settings, shots, video))
    from livehead.reporting.contact_sheet import SheetRow, save_sheet

    names = ("performer", "drawn", "astronaut")
    rows = [SheetRow(name, [pictures[place] for pictures in picked]) for place, name in enumerate(names)]
    save_sheet(rows, sheet, title="livehead demo: the performer, and two photos that follow")
    print_status(f"measuring the live pipeline's latency ({JUMP_COUNT} sudden turns of the head)")
    with OtherProgramsLoad() as load:
        figures = measure_pipeline(settings, JUMP_COUNT)
    delay = cast("dict[str, float]", figures.results["motion_to_photon"])
    print(f"video:          {video}")
    print(f"contact sheet:  {sheet}")
    print(
        f"latency:        {delay['median']:.0f} ms from motion to photon (median; p95 {delay['p95']:.0f} ms), "
        f"{figures.results['fps']:.1f} fps at {settings.stream.size[0]}x{settings.stream.size[1]}"
    )
    if said := load.describe():
        print(f"but note:       {said}")
    return 0


async def _record_demo(
    settings: RunSettings, shots: list[PreparedFrame], path: Path
) -> list[tuple[Image, Image, Image]]:
    """Record both avatars side by side, the performer in between; gives eight moments for the contact sheet.

    A moment is the picture of the performer and those of the two avatars.
    """
    portraits = [bundled_portrait(DRAWN_PORTRAIT), bundled_portrait(ASTRONAUT_PHOTO)]
    settings = settings.model_copy(update={"picture": settings.picture.model_copy(update={"fit": "crop"})})
    store, driver = AvatarCache(), make_driver("face", portraits)
    pair: list[Animator] = [
        build_live_avatar(settings, [portrait], driver, store, size=HALF_SIZE).animator for portrait in portraits
    ]
    picked: list[tuple[Image, Image, Image]] = []
    step = max(len(shots) // 8, 1)
    async with Worker("demo") as worker, FileSink(path, fps=FPS, whole=True) as sink:
        with ProgressMeter(len(shots), "animating") as meter:
            for number, shot in enumerate(shots):
                frame = VideoFrame(shot.image, number, Fraction(1, FPS), number * 10**9 // FPS)
                motion = await worker.run(driver.estimate, DriverInputs(frame, None, frame.captured_ns))
                drawn, astronaut = [await worker.run(animator.draw, motion) for animator in pair]
                if number % step == step // 2 and len(picked) < 8:
                    picked.append((shot.image, drawn, astronaut))
                await sink.send(frame.with_image(_join_pictures(drawn, astronaut, shot.image)))
                meter.advance()
    return picked


def _join_pictures(left: Image, right: Image, performer: Image) -> Image:
    """A picture of 1280 x 720: the avatars, and the performer small in the middle of the lower edge."""
    import cv2

    picture = np.hstack([left, right])
    width = INSET_HEIGHT * performer.shape[1] // performer.shape[0]
    inset = cv2.resize(performer, (width, INSET_HEIGHT), interpolation=cv2.INTER_AREA)
    x = (picture.shape[1] - width) // 2
    picture[-INSET_HEIGHT - 8 : -8, x - 4 : x + width + 4] = 255
    picture[-INSET_HEIGHT - 8 : -8, x : x + width] = inset
    return picture
