from fractions import Fraction

import numpy as np
import pytest

from livehead.errors import LiveheadError, NoFaceError, SourceError
from livehead.frames import AudioFrame, VideoFrame


def test_a_picture_tells_its_size_and_time() -> None:
    frame = VideoFrame(np.zeros((480, 640, 3), np.uint8), 45_000, Fraction(1, 90_000), 7, {"code": 3})
    assert frame.size == (640, 480)
    assert frame.seconds == 0.5


def test_another_picture_of_the_same_moment_keeps_all_that_hangs_on_it() -> None:
    frame = VideoFrame(np.zeros((4, 4, 3), np.uint8), 5, Fraction(1, 30), 7, {"code": 3})
    other = frame.with_image(np.ones((2, 2, 4), np.uint8))
    assert (other.pts, other.captured_ns, other.attached["code"]) == (5, 7, 3)
    assert other.size == (2, 2)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.float32)],
    ids=["grey", "two channels", "float"],
)
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        VideoFrame(image, 0, Fraction(1, 30), 0)


def test_sound_tells_its_length_and_refuses_another_type() -> None:
    assert AudioFrame(np.zeros((2, 8000), np.float32), 16_000, 0, 0).duration_s == 0.5
    with pytest.raises(ValueError, match="float32"):
        AudioFrame(np.zeros((2, 8000), np.int16), 16_000, 0, 0)  # type: ignore[arg-type]


def test_an_error_is_one_line_with_its_remedy() -> None:
    error = NoFaceError("no face\n in x.jpg", "give another\nphoto", subject="x.jpg")
    assert str(error) == "no face in x.jpg: give another photo"
    assert isinstance(error, SourceError)
    assert isinstance(error, LiveheadError)
    assert error.subject == "x.jpg"
