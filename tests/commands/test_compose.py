import pytest

from livehead.commands.bench_live import filmed, live_subject
from livehead.commands.compose import driver_name
from livehead.commands.performer import ASTRONAUT, own_portrait
from livehead.config import RunSettings
from livehead.metrics import bench_model
from livehead.motion.performance import Pose, Puppet
from livehead.renderers.dagan_full import DaganRenderer


@pytest.mark.parametrize(
    ("spec", "model", "expected"),
    [
        ("auto", "warp", "face"),
        ("auto", "auto", "face"),
        ("auto", "dagan", "dagan:dagan"),
        ("auto", "dagan-spade", "dagan:dagan-spade"),
        ("dagan", "dagan-spade", "dagan:dagan-spade"),
        ("dagan", "warp", "dagan"),
        ("dagan:dagan", "dagan-spade", "dagan:dagan"),
        ("face", "dagan", "face"),
        ("motion:x.npz", "dagan", "motion:x.npz"),
    ],
)
def test_a_model_gets_the_driver_of_its_own_points_unless_another_is_named(spec, model, expected):
    assert driver_name(spec, model) == expected


def test_eyes_and_renderer_share_a_precision():
    assert driver_name("auto", "dagan", "fp32") == "dagan:dagan/fp32"
    assert driver_name("auto", "warp", "fp32") == "face"


def test_a_model_that_sees_by_itself_is_timed_from_picture_to_picture(monkeypatch, tiny_dagan):
    monkeypatch.setattr("livehead.commands.bench_live.make_renderer", lambda *_, **__: DaganRenderer(*tiny_dagan, 64))
    monkeypatch.setattr(bench_model, "_WARM_UP", 2)
    portrait = own_portrait(ASTRONAUT)
    film = filmed(portrait, [Puppet(portrait.motion)(Pose(yaw=yaw), 0) for yaw in (0, 8)])
    subject = live_subject(RunSettings(render_size=64), "dagan", portrait, film)
    results = bench_model.bench_model(subject, film.motions, rounds=3)
    assert set(results["stages"]) == {"depth", "keypoints", "motion", "decoder"}
    assert 0 < results["gflops_cached"] < results["gflops_uncached"]
    assert results["batched_fps"] > 0
    assert results["frame"]["n"] == 3
