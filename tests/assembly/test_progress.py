"""Long work says how far it is: off a terminal by a line every ten seconds."""

from __future__ import annotations

from livehead.assembly.progress import ProgressMeter, format_duration


class SteppedClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_comes_every_ten_seconds_and_tells_the_time_left() -> None:
    clock, lines = SteppedClock(), list[str]()
    with ProgressMeter(400, "animating", print_line=lines.append, clock=clock) as meter:
        for _ in range(200):
            clock.now += 0.125
            meter.advance()
    assert lines == [
        "animating: 80 of 400 frames (20 %), 8.0 frames/s, 0:40 left",
        "animating: 160 of 400 frames (40 %), 8.0 frames/s, 0:30 left",
    ]


def test_work_that_is_done_at_once_shows_nothing() -> None:
    clock, lines = SteppedClock(), list[str]()
    with ProgressMeter(10, "animating", print_line=lines.append, clock=clock) as meter:
        for _ in range(10):
            clock.now += 0.5
            meter.advance()
    assert not lines


def test_work_of_unknown_length_tells_what_is_done() -> None:
    clock, lines = SteppedClock(), list[str]()
    with ProgressMeter(None, "tracking", print_line=lines.append, clock=clock) as meter:
        clock.now = 10
        meter.advance(50)
    assert lines == ["tracking: 50 frames, 5.0 frames/s"]


def test_durations_are_written_as_clocks_do() -> None:
    assert [format_duration(each) for each in (0, 7.4, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]
