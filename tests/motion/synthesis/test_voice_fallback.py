"""What is heard of a performer who is not seen."""

from __future__ import annotations

import numpy as np

from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.motion.retarget.transfer import MotionTransfer
from livehead.motion.synthesis.rigid_idle import make_idle_motion
from livehead.motion.synthesis.voice_fallback import VoiceFallback

NOW_NS = 7_000_000_000


def test_until_somebody_is_heard_the_avatar_idles(source: Keypoints) -> None:
    idle = make_idle_motion(source)
    transfer = MotionTransfer(source, calibration=NeutralCalibration(source))
    np.testing.assert_array_equal(
        VoiceFallback(lambda: None, transfer, idle).motion_at(NOW_NS).value, idle.motion_at(NOW_NS).value
    )


def test_what_is_heard_is_brought_to_the_avatar_with_its_gains(source: Keypoints) -> None:
    open_mouth = FaceRig(source).pose_face(FaceControls(jaw=0.8), 1)
    transfer = MotionTransfer(source, calibration=NeutralCalibration(source))
    spoken = VoiceFallback(lambda: open_mouth, transfer, make_idle_motion(source)).motion_at(NOW_NS)
    assert spoken.captured_ns == NOW_NS
    chin = 152
    assert spoken.value[0, chin, 1] - source.value[0, chin, 1] > 0.01
    transfer.gains = type(transfer.gains)(mouth=0)
    held = VoiceFallback(lambda: open_mouth, transfer, make_idle_motion(source)).motion_at(NOW_NS)
    np.testing.assert_allclose(held.value[0, chin], source.value[0, chin], atol=2e-3)
