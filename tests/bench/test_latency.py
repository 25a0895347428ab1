"""Motion-to-photon from simulated pictures whose true latency is known."""

import numpy as np
import pytest

from livehead.bench.latency import ReceivedFrames, detect_jumps, exposure_waits_ms, latency_shares, plan_jumps
from livehead.clock import NS
from livehead.errors import DeviceError

FPS = 30
START_NS = 5 * NS


def poses():
    """Two thumbnails of a bright head on grey, in two places."""
    first = np.full((36, 64), 90.0)
    second = first.copy()
    first[8:28, 20:36] = 180
    second[8:28, 28:44] = 180
    return first, second


def simulate(jumps, delay_ms, *, follow=1.0, noise=2.0, drop=0.0, seed=1):
    """What a pipeline would deliver: each exposure ``delay_ms(random)`` later; ``follow`` is how much of the way to
    the pose before the lens each picture goes. Gives the pictures, and the true number of the first that shows each
    jump more than half."""
    random = np.random.default_rng(seed)
    first, second = poses()
    at_ns, pictures, half_shown = [], [], {}
    state = 0.0
    for k in range(int(jumps.end_ns * FPS / NS)):
        exposed_ns = round(k * NS / FPS)
        pose = jumps.pose_at(exposed_ns)
        state += follow * (pose - state)
        if random.random() < drop:
            continue
        at_ns.append(START_NS + exposed_ns + round(delay_ms(random) * 1e6))
        picture = first + state * (second - first) + random.normal(0, noise, first.shape)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
        number = int(np.searchsorted(jumps.jump_times_ns, exposed_ns, side="right")) - 1
        if number >= 0 and round(state) == pose:
            half_shown.setdefault(number, len(pictures) - 1)
    return ReceivedFrames(np.array(at_ns, np.int64), np.array(pictures)), list(half_shown.values())


def true_latency(received, pictures, jumps):
    return [
        (received.received_ns[n] - START_NS - at) / 1e6 for n, at in zip(pictures, jumps.jump_times_ns, strict=True)
    ]


@pytest.mark.parametrize(("follow", "drop"), [(1.0, 0.0), (0.35, 0.0), (0.6, 0.1)])
def test_the_pictures_tell_the_true_latency(follow, drop):
    jumps = plan_jumps(60, FPS, shots=4, seed=2)
    received, pictures = simulate(jumps, lambda random: random.uniform(18, 30), follow=follow, drop=drop)
    seen = detect_jumps(received, jumps, START_NS)
    assert seen.missed == 0
    assert seen.frame_indices == pictures
    assert seen.latency_ms == pytest.approx(true_latency(received, pictures, jumps))


def test_smoothing_costs_latency():
    jumps = plan_jumps(40, FPS, shots=1)
    sharp, _ = simulate(jumps, lambda random: 20)
    smooth, _ = simulate(jumps, lambda random: 20, follow=0.3)
    gain = np.median(detect_jumps(smooth, jumps, START_NS).latency_ms) - np.median(
        detect_jumps(sharp, jumps, START_NS).latency_ms
    )
    assert gain == pytest.approx(1000 / FPS, abs=5)  # one picture more until the middle is passed


def test_a_frozen_picture_is_an_error_and_not_a_latency():
    jumps = plan_jumps(10, FPS, shots=1)
    received, _ = simulate(jumps, lambda random: 20, follow=0.0)
    with pytest.raises(DeviceError, match="do not show"):
        detect_jumps(received, jumps, START_NS)


def test_no_pictures_are_an_error():
    jumps = plan_jumps(10, FPS, shots=1)
    nothing = ReceivedFrames(np.zeros(0, np.int64), np.zeros((0, 36, 64), np.uint8))
    with pytest.raises(DeviceError, match="too few"):
        detect_jumps(nothing, jumps, START_NS)


def test_a_jump_that_never_arrives_is_missed():
    jumps = plan_jumps(12, FPS, shots=1)
    received, _ = simulate(jumps, lambda random: 20)
    since = received.received_ns - START_NS
    outage = (since > jumps.jump_times_ns[4]) & (since < jumps.jump_times_ns[5])
    seen = detect_jumps(ReceivedFrames(received.received_ns[~outage], received.thumbnails[~outage]), jumps, START_NS)
    assert seen.missed >= 1
    assert len(seen.latency_ms) + seen.missed == 12
    assert max(seen.latency_ms) < 100


def test_jumps_fall_at_every_phase_of_the_frame_clock():
    jumps = plan_jumps(100, FPS, shots=1)
    waits = np.array(exposure_waits_ms(jumps))
    assert np.histogram(waits, bins=4, range=(0, 1000 / FPS))[0].tolist() == [25, 25, 25, 25]
    assert np.median(waits) == pytest.approx(500 / FPS, abs=0.5)
    assert np.corrcoef(waits[:-1], waits[1:])[0, 1] < 0.5
    assert min(np.diff(jumps.jump_times_ns)) > 0.5 * NS


def test_the_scene_shows_the_pose_of_its_moment_and_ends():
    jumps = plan_jumps(2, FPS, shots=5)
    first, second = jumps.jump_times_ns
    assert jumps(0) == 0
    assert {jumps(t) for t in range(0, first, NS // 60)} == set(range(5))
    assert {jumps(t) for t in range(first, second, NS // 60)} == set(range(5, 10))
    assert jumps(second) < 5
    assert jumps(jumps.end_ns) is None


def test_shares_add_up_to_the_whole():
    parts = latency_shares(40.0, exposure_ms=16.0, capture_to_sink_ms=20.0, stages_ms={"estimate": 10.0, "draw": 8.0})
    assert parts == pytest.approx(
        {"wait_exposure": 0.4, "estimate": 0.25, "draw": 0.2, "handover": 0.05, "later_frames": 0.1}
    )
    assert sum(parts.values()) == pytest.approx(1)
