from livehead.clock import NS
from livehead.quality import (
    LOWER_AFTER_FRAMES,
    RAISE_AFTER_NS,
    TRIAL_FRAMES,
    WARM_UP_FRAMES,
    QualityController,
    QualityLevel,
    quality_levels,
)

BEST = QualityLevel(size=512, track_every=1, fps=30)
FRAME_NS = NS // 30


class Machine:
    """Feeds a controller frames of a given cost on a clock of its own."""

    def __init__(self, controller: QualityController) -> None:
        self.controller = controller
        self.now_ns = 0

    def frames(self, n: int, busy_ms: float, share: float = 0.1) -> list[QualityLevel]:
        changes = []
        for _ in range(n):
            self.now_ns += FRAME_NS
            quality = self.controller.observe_frame(busy_ms, share, self.now_ns)
            if quality is not None:
                changes.append(quality)
        return changes


def test_quality_falls_by_size_then_tracking_then_rate() -> None:
    levels = quality_levels(BEST)
    sizes, tracking, rates = ([getattr(level, n) for level in levels] for n in ("size", "track_every", "fps"))
    assert sizes == sorted(sizes, reverse=True)
    assert rates == sorted(rates, reverse=True)
    assert tracking.index(2) > sizes.index(256)
    assert tracking.index(2) < next(n for n, rate in enumerate(rates) if rate < 30)


def test_a_level_reads_as_words() -> None:
    assert str(BEST) == "picture 512 px, tracking every frame, 30 fps"
    assert str(QualityLevel(256, 3, 15)) == "picture 256 px, tracking one frame in 3, 15 fps"


def test_no_picture_repeats_motion_where_fewer_are_drawn() -> None:
    assert {level.track_every for level in quality_levels(BEST) if level.fps < BEST.fps} == {1}


def test_the_first_frames_are_not_judged() -> None:
    machine = Machine(QualityController(BEST, budget_ms=33))
    assert machine.frames(WARM_UP_FRAMES, busy_ms=500) == []


def test_one_slow_frame_changes_nothing() -> None:
    machine = Machine(QualityController(BEST, budget_ms=33))
    machine.frames(WARM_UP_FRAMES + LOWER_AFTER_FRAMES, busy_ms=10)
    assert machine.frames(1, busy_ms=400) + machine.frames(60, busy_ms=10) == []


def test_a_missed_budget_lowers_the_size_and_room_brings_it_back() -> None:
    machine = Machine(QualityController(BEST, budget_ms=33))
    fallen = machine.frames(WARM_UP_FRAMES + LOWER_AFTER_FRAMES, busy_ms=40)
    assert [q.size for q in fallen] == [384]
    risen = machine.frames(30 * 10, busy_ms=12)
    assert [q.size for q in risen] == [512]


def test_a_busy_machine_counts_as_a_missed_budget() -> None:
    machine = Machine(QualityController(BEST, budget_ms=33, machine_share=0.5))
    assert machine.frames(WARM_UP_FRAMES + LOWER_AFTER_FRAMES, busy_ms=5, share=0.8) != []


def test_an_attempt_that_fails_is_given_up_sooner_than_what_held_for_long() -> None:
    machine = Machine(QualityController(BEST, budget_ms=33))
    machine.frames(WARM_UP_FRAMES + LOWER_AFTER_FRAMES, busy_ms=40)
    while machine.controller.quality.size < 512:
        machine.frames(1, busy_ms=12)
    assert machine.frames(TRIAL_FRAMES - 1, busy_ms=40) == []
    assert [q.size for q in machine.frames(1, busy_ms=40)] == [384]
    while machine.controller.quality.size < 512:
        machine.frames(1, busy_ms=12)
    machine.frames(RAISE_AFTER_NS // FRAME_NS + 1, busy_ms=12)
    assert machine.frames(TRIAL_FRAMES, busy_ms=40) == []


def test_attempts_that_fail_become_rarer() -> None:
    machine = Machine(QualityController(BEST, budget_ms=33))
    machine.frames(WARM_UP_FRAMES + LOWER_AFTER_FRAMES, busy_ms=40)
    gaps = []
    for _ in range(3):
        waited = 0
        while machine.controller.quality.size < 512:
            machine.frames(1, busy_ms=12)
            waited += 1
        gaps.append(waited * FRAME_NS)
        while machine.controller.quality.size == 512:
            machine.frames(1, busy_ms=40)
    assert gaps[0] >= RAISE_AFTER_NS
    assert gaps[2] > 1.5 * gaps[1] > 2 * gaps[0]


def test_quality_stops_falling_at_the_last_level() -> None:
    controller = QualityController(BEST, budget_ms=33)
    Machine(controller).frames(2000, busy_ms=1000)
    assert controller.quality == controller.levels[-1]


def test_without_a_tracker_its_rate_is_no_level() -> None:
    with_tracker, without = (
        quality_levels(QualityLevel(512, 1, 30)),
        quality_levels(QualityLevel(512, 1, 30), can_skip_tracking=False),
    )
    assert {quality.track_every for quality in with_tracker} == {1, 2}
    assert {quality.track_every for quality in without} == {1}
    assert [(q.size, q.fps) for q in without] == [(512, 30), (384, 30), (256, 30), (256, 20), (256, 15)]
