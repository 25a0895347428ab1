import torch

from livehead.models.blocks import AntiAliasInterpolation
from livehead.models.dagan.build import DaganSizes, HourglassSizes, build_keypoint_detector

TINY = DaganSizes(points=4, keypoints=HourglassSizes(8, 32, 3))


def test_before_training_every_jacobian_is_the_identity():
    found = build_keypoint_detector(TINY, "rgb").eval()(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(found.jacobian, torch.eye(2).expand(2, 4, 2, 2))
    assert found.value.abs().max() <= 1


def test_a_heat_map_s_peak_is_the_point():
    detector = build_keypoint_detector(TINY, "depth").eval()
    detector.kp = torch.nn.Identity()
    logits = torch.zeros(1, 4, 10, 10)
    logits[0, 0, 9, 0] = 50
    logits[0, 1, 0, 9] = 50
    detector.kp.forward = lambda _: logits
    detector.kp.weight = torch.zeros(1)
    detector.jacobian.forward = lambda _: torch.zeros(1, 16, 10, 10)
    value = detector(torch.rand(1, 1, 64, 64)).value[0]
    torch.testing.assert_close(value[:3], torch.tensor([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]), atol=1e-5, rtol=0)


def test_it_says_what_it_sees_and_how_much_it_finds():
    detector = build_keypoint_detector(TINY, "rgbd")
    assert (detector.input_channels, detector.keypoint_count) == (4, 4)


def test_an_anti_aliased_picture_keeps_its_brightness():
    small = AntiAliasInterpolation(3, 0.25)(torch.full((1, 3, 64, 64), 0.5))
    assert small.shape == (1, 3, 16, 16)
    torch.testing.assert_close(small[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5))
    picture = torch.rand(1, 3, 8, 8)
    assert AntiAliasInterpolation(3, 1)(picture) is picture
