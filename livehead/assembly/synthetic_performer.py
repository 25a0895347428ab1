"""The synthetic performer: a photo that ships, moved by a script.

It is filmed ahead, so that its own cost is not measured. It is composed here from ``motion/face/face_rig``, the
renderer ``warp`` and ``capture/synthetic``.
"""

from __future__ import annotations

from pathlib import Path

from livehead.avatars.cache import AvatarCache
from livehead.capture.synthetic import PreparedFrame, SyntheticCapture
from livehead.compositing.portrait_compositor import PortraitCompositor
from livehead.config import CameraSettings
from livehead.frames import Image
from livehead.interfaces import Capture
from livehead.motion.face.face_rig import FaceControls, FaceRig, build_demo_timeline
from livehead.motion.keypoints import Keypoints
from livehead.perception.photo import read_photo
from livehead.perception.portrait import Portrait
from livehead.renderers.warp.renderer import WarpRenderer

ASSETS = Path(__file__).parents[1] / "assets"
ASTRONAUT_PHOTO = ASSETS / "astronaut.png"
DRAWN_PORTRAIT = ASSETS / "drawn.png"

JUMP_YAW_DEGREES = 12.0  # degrees to either side: far enough to be seen in every pixel row, near enough to be tracked
JUMP_SWAY_DEGREES = 0.6  # degrees of small motion while a pose is held
JUMP_SHOTS = 8


def render_driving(portrait: Portrait, size: tuple[int, int], motions: list[Keypoints]) -> list[Image]:
    """Camera pictures uint8 [H, W, 3] of ``portrait`` in ``motions``, filmed at ``size`` (width, height)."""
    # No finer than the photo itself: filming is what one waits for before the first frame.
    side = min(max(portrait.crop.side, 256), 512)
    renderer = WarpRenderer()
    avatar = renderer.prepare(portrait)
    stage = PortraitCompositor(portrait, size, fit="crop")
    return [stage.compose(renderer.render(avatar, motion, side)) for motion in motions]


def bundled_portrait(path: Path) -> Portrait:
    """A photo that ships, prepared."""
    return AvatarCache().get_portrait(read_photo(path), path.stem)


def step_shots(portrait: Portrait, size: tuple[int, int]) -> list[PreparedFrame]:
    """``JUMP_SHOTS`` shots of the head turned to one side, then as many of the other."""
    rig = FaceRig(portrait.motion)
    sway = [JUMP_SWAY_DEGREES * (number / (JUMP_SHOTS - 1) - 0.5) for number in range(JUMP_SHOTS)]
    motions = [rig.pose_face(FaceControls(yaw=side * JUMP_YAW_DEGREES + by), 0) for side in (-1, 1) for by in sway]
    return [PreparedFrame(image) for image in render_driving(portrait, size, motions)]


def continuous_shots(portrait: Portrait, size: tuple[int, int], fps: float) -> list[PreparedFrame]:
    """Turns, blinks, speech and a smile, once through; the end leads back to the beginning."""
    rig, script = FaceRig(portrait.motion), build_demo_timeline()
    motions = [rig.pose_face(script.controls_at(number / fps), 0) for number in range(round(script.duration_s * fps))]
    return [PreparedFrame(image) for image in render_driving(portrait, size, motions)]


def still_head_speech(motion: Keypoints) -> list[Keypoints]:
    """A still head that speaks: for seeing whether anything else moves."""
    rig = FaceRig(motion)
    return [rig.pose_face(FaceControls(jaw=jaw / 10), 0) for jaw in (0, 2, 5, 9, 6, 3, 8, 1)]


def synthetic_capture(settings: CameraSettings) -> Capture:
    """A camera of ``settings`` that shows the synthetic performer over and over."""
    return SyntheticCapture(
        continuous_shots(bundled_portrait(ASTRONAUT_PHOTO), settings.size, settings.fps), fps=settings.fps
    )
