"""Models as they are timed: which figures each of them has."""

from dataclasses import replace

from livehead.assembly.driving_clip import record_driving
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, bundled_portrait
from livehead.bench.model import bench_model
from livehead.bench.model_subjects import make_dagan_subject
from livehead.config import RunSettings
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.renderers.dagan import DaganRenderer


def test_a_model_that_sees_by_itself_is_timed_from_picture_to_picture(tiny_dagan):
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    clip = record_driving(portrait, [FaceRig(portrait.motion).pose_face(FaceControls(yaw=yaw), 0) for yaw in (0, 8)])
    settings = RunSettings(render_size=64)
    subject = make_dagan_subject(lambda precision: DaganRenderer(*tiny_dagan), settings, portrait, clip)
    results = bench_model(replace(subject, warm_up=2), clip.motions, rounds=3)
    assert set(results["stages"]) == {"depth", "keypoints", "motion", "attention", "decoder"}
    assert 0 < results["gflops_cached"] < results["gflops_uncached"]
    assert results["batched_fps"] > 0
    assert results["frame"]["n"] == 3
