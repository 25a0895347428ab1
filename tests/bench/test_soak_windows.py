"""What a long call is judged by."""

import base64
from pathlib import Path

import numpy as np
import pytest

from livehead.bench.camera_to_page import compare_detection, estimate_sound_delay_ms
from livehead.bench.soak_windows import SoakWindow, assess_soak
from livehead.bench.vowel_bursts import RATE, synthesize_vowel_bursts
from livehead.errors import DeviceError
from livehead.reporting.plot import plot_soak


def windows(count: int = 60, memory: float = 0.0, later: float = 0.0, offset: float = 0.0) -> list[SoakWindow]:
    """A call whose memory, latency and offset grow by so much from its begin to its end."""
    shares = [number / (count - 1) for number in range(count)]
    return [
        SoakWindow(
            70 + 15.0 * number,
            50 + later * share,
            60 + later * share,
            10 + offset * share,
            30,
            400 + memory * share,
            20,
        )
        for number, share in enumerate(shares)
    ]


def test_a_steady_call_holds() -> None:
    found = assess_soak(windows())
    assert found["holds"] == {"memory_mb": True, "offset_ms": True, "picture_ms": True}
    assert found["change"] == {"memory_mb": 0, "offset_ms": 0, "picture_ms": 0}


@pytest.mark.parametrize(
    ("name", "grown"),
    [
        ("memory_mb", {"memory": 40.0}),
        ("offset_ms", {"offset": -40.0}),
        ("picture_ms", {"later": 20.0}),
    ],
)
def test_what_grows_too_much_is_told(name: str, grown: dict[str, float]) -> None:
    holds = assess_soak(windows(**grown))["holds"]
    assert [key for key, value in holds.items() if not value] == [name]


def test_memory_that_is_given_back_and_the_first_minute_do_not_count() -> None:
    assert assess_soak(windows(memory=-100.0))["holds"]["memory_mb"]
    early = [SoakWindow(15.0, 500, 500, 0, 10, 100, 20), *windows()]
    assert assess_soak(early)["change"]["memory_mb"] == 0


def test_what_could_not_be_told_does_not_hold() -> None:
    silent = [SoakWindow(each.at_s, each.picture_ms, None, None, 30, 400, 20) for each in windows()]
    assert assess_soak(silent)["change"]["offset_ms"] is None
    assert not assess_soak(silent)["holds"]["offset_ms"]
    with pytest.raises(DeviceError, match="too short"):
        assess_soak(windows(2)[:1])


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    plot_soak(windows(), tmp_path / "soak.png", "a call")
    assert (tmp_path / "soak.png").stat().st_size > 5000


@pytest.mark.parametrize("late_ms", [0.0, 35.0, 480.0, 1500.0])
def test_how_late_sound_comes_back_is_found_by_its_loudness(late_ms: float) -> None:
    sound = np.abs(synthesize_vowel_bursts(16.0))
    step = 256 / RATE
    loud = np.array([sound[at : at + 256].max() for at in range(0, len(sound) - 256, 256)])
    times = np.arange(len(loud)) * step
    back = 0.7 * np.interp(times - late_ms / 1000, times, loud) + 0.003
    assert estimate_sound_delay_ms(list(zip(times, loud, back, strict=True))) == pytest.approx(late_ms, abs=4)


def test_another_sound_is_not_taken_for_what_was_said() -> None:
    times = np.arange(3000) * 0.0053
    rng = np.random.default_rng(0)
    with pytest.raises(DeviceError):
        estimate_sound_delay_ms(list(zip(times, rng.random(3000), rng.random(3000), strict=True)))
    with pytest.raises(DeviceError, match="heard nothing"):
        estimate_sound_delay_ms([])


def jumping(late_ms: float, blind_pictures: int = 0) -> tuple[dict[str, list[dict[str, object]]], list[int]]:
    """A page that shows motions ``late_ms`` after the camera, in the pixels so many pictures later than by the code."""
    poses = [(number // 22) % 2 for number in range(22 * 16)]
    rng = np.random.default_rng(1)
    looks = rng.integers(60, 190, (2, 36, 64))
    own, avatar = [], []
    for number in range(len(poses)):
        own.append({"number": number, "captured": number * 33.3})
        shown = poses[max(number - blind_pictures, 0)]
        pixels = np.clip(looks[shown] + rng.normal(0, 2, (36, 64)), 0, 255).astype(np.uint8)
        picture = base64.b64encode(pixels.tobytes()).decode()
        avatar.append({"number": number, "shown": number * 33.3 + late_ms, "thumbnail": picture})
    return {"self": own, "avatar": avatar}, poses


def test_the_motion_detector_agrees_where_pixels_and_codes_go_together() -> None:
    found = compare_detection(*jumping(60.0))
    assert found["agrees"] is True
    assert found["later_ms"]["median"] == 0
    assert found["later_ms"]["n"] >= 10


def test_it_does_not_where_the_picture_is_older_than_its_code() -> None:
    found = compare_detection(*jumping(60.0, blind_pictures=2))
    assert found["agrees"] is False
    assert found["later_ms"]["median"] == pytest.approx(66.6, abs=0.5)


def test_too_few_motions_are_told() -> None:
    seen, poses = jumping(60.0)
    with pytest.raises(DeviceError, match="too few"):
        compare_detection({name: each[:60] for name, each in seen.items()}, poses)
