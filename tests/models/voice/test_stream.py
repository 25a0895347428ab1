"""A voice is heard the same in whatever pieces it comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from livehead.bench.voice_timing import synthesize_babble
from livehead.models.voice.network import LOOK_AHEAD_S, LOOK_AHEAD_STEPS, STEP_S, VoiceNetwork
from livehead.models.voice.stream import STEP_SAMPLES, VoiceStream, process_recording
from livehead.motion.keypoints import Array


class Judge:
    """Calls speech what is louder than a limit; remembers how many chunks it was given."""

    def __init__(self) -> None:
        self.judged = 0

    def reset(self) -> None:
        self.judged = 0

    def speech_probabilities(self, samples: Array) -> Array:
        loud = np.sqrt(np.square(samples.reshape(-1, 512)).mean(axis=1)) > 0.05
        self.judged += len(loud)
        return loud.astype(np.float32)


@pytest.fixture(scope="module")
def network() -> VoiceNetwork:
    torch.manual_seed(0)
    return VoiceNetwork(5, width=8, members=2)


@pytest.fixture(scope="module")
def sound() -> Array:
    return synthesize_babble(3.0)


@pytest.mark.parametrize("judged", [False, True])
def test_pieces_make_no_difference(network: VoiceNetwork, sound: Array, judged: bool) -> None:
    whole = VoiceStream(network, Judge() if judged else None).process_samples(sound).coefficients
    stream = VoiceStream(network, Judge() if judged else None)
    random = np.random.default_rng(1)
    pieces, start = [], 0
    while start < len(sound):
        end = start + int(random.integers(1, 1500))
        pieces.append(stream.process_samples(sound[start:end]).coefficients)
        start = end
    assert len(whole) == len(sound) // STEP_SAMPLES
    assert np.abs(whole).max() > 0.01
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


def test_offline_is_live_on_the_recording_s_own_clock(network: VoiceNetwork, sound: Array) -> None:
    found = process_recording(VoiceStream(network), sound)
    stream = VoiceStream(network)
    heard = [stream.process_samples(sound[at : at + STEP_SAMPLES]) for at in range(0, len(sound), STEP_SAMPLES)]
    assert len(found) == len(sound) // STEP_SAMPLES + 1
    for each in heard:
        if each.first_step >= 0:
            np.testing.assert_allclose(found[each.first_step], each.coefficients[0], atol=1e-5)


def test_it_looks_no_further_ahead_than_it_says(network: VoiceNetwork, sound: Array) -> None:
    assert LOOK_AHEAD_S + STEP_S <= 0.06 + 1e-9
    other = sound.copy()
    changed = 100 * STEP_SAMPLES
    other[changed:] = 0
    one, two = process_recording(VoiceStream(network), sound), process_recording(VoiceStream(network), other)
    np.testing.assert_allclose(one[: 100 - LOOK_AHEAD_STEPS + 1], two[: 100 - LOOK_AHEAD_STEPS + 1], atol=1e-6)
    assert np.abs(one[100 - LOOK_AHEAD_STEPS + 1] - two[100 - LOOK_AHEAD_STEPS + 1]).max() > 1e-4


def test_reset_forgets_everything(network: VoiceNetwork, sound: Array) -> None:
    stream = VoiceStream(network, Judge())
    first = stream.process_samples(sound).coefficients
    stream.reset()
    np.testing.assert_array_equal(stream.process_samples(sound).coefficients, first)


def test_what_nobody_says_moves_nothing_after_a_while(network: VoiceNetwork) -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    found = VoiceStream(network, Judge()).process_samples(noise).coefficients
    assert np.abs(found[:15]).max() > 1e-3
    assert np.abs(found[45:]).max() == 0


def test_a_network_alone_gives_its_mean_over_members(network: VoiceNetwork, sound: Array) -> None:
    halves = [VoiceNetwork(5, width=8, members=1) for _ in range(2)]
    for number, half in enumerate(halves):
        for (_, whole), (name, part) in zip(network.state_dict().items(), half.state_dict().items(), strict=True):
            size = part.shape[0]
            part.copy_(whole if name in ("mean", "spread", "scale") else whole[number * size : (number + 1) * size])
    each = [VoiceStream(half).process_samples(sound).coefficients for half in halves]
    np.testing.assert_allclose(
        np.mean(each, axis=0), VoiceStream(network).process_samples(sound).coefficients, atol=1e-5
    )
