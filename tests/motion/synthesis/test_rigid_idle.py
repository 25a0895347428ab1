import numpy as np

from livehead.motion.keypoints import Keypoints
from livehead.motion.synthesis.idle import IdleMotion
from livehead.motion.synthesis.idle_blend import IdleBlend
from livehead.motion.synthesis.rigid_idle import RigidIdleMotion, make_idle_motion

SECOND = 10**9


def learned(shift=0.0, seen=1.0, now_ns=0):
    rng = np.random.default_rng(3)
    value = rng.uniform(-0.6, 0.6, (1, 15, 2)).astype(np.float32) + np.float32(shift)
    jacobian = np.tile(np.eye(2, dtype=np.float32), (1, 15, 1, 1)) * np.float32(1 + shift)
    return Keypoints("dagan15", value, None, jacobian, np.full(1, seen, np.float32), now_ns)


def test_learned_points_sway_a_little_and_steadily():
    sway, source = RigidIdleMotion(learned()), learned()
    path = np.stack([sway.motion_at(round(frame * SECOND / 30)).value for frame in range(300)])
    assert 0.002 < np.abs(path - source.value).max() < 0.08
    assert np.abs(np.diff(path, axis=0)).max() < 0.005


def test_jacobians_turn_with_the_points():
    moved, source = RigidIdleMotion(learned()).motion_at(7 * SECOND), learned()
    apart, before = moved.value[0, 1] - moved.value[0, 0], source.value[0, 1] - source.value[0, 0]
    np.testing.assert_allclose(moved.jacobian[0, 0] @ before, apart, atol=1e-5)


def test_a_face_idles_as_a_face_and_other_points_sway(source):
    assert isinstance(make_idle_motion(source), IdleMotion)
    assert isinstance(make_idle_motion(learned()), RigidIdleMotion)


def test_learned_points_ease_into_idling_with_their_jacobians():
    presence = IdleBlend(make_idle_motion(learned()))
    shown = [presence.apply(learned(0.3, 1.0, 0), 0)]
    shown += [presence.apply(learned(0.3, 0.0, t), t) for t in range(0, SECOND, SECOND // 30)]
    scale = np.array([each.jacobian[0, 0, 0, 0] for each in shown])
    assert scale[0] == np.float32(1.3)
    assert abs(scale[-1] - 1) < 0.01
    assert np.abs(np.diff(scale)).max() < 0.06
    assert all(each.depth is None for each in shown)
