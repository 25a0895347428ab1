from fractions import Fraction

from livehead.clock import NS, ExponentialBackoff, FramePacer, PtsClock, RemoteClock, now_ns, sleep_until


def test_a_timeline_counts_from_its_first_moment_and_never_goes_back() -> None:
    line = PtsClock(Fraction(1, 1000))
    assert [line.to_pts(ms * 1_000_000) for ms in (500, 533, 533, 520, 600)] == [0, 33, 34, 35, 100]


def test_a_sender_s_times_are_freed_of_the_network_s_jitter_and_its_clock_s_drift_is_followed() -> None:
    clock, sent = RemoteClock(), [number * NS // 50 for number in range(500)]
    late = [(number * 7919 % 40) * NS // 1000 for number in range(500)]  # up to 39 ms, as if by chance
    slow = [at + at // 1000 for at in sent]  # by our clock: the sender's runs too slowly
    found = [clock.to_local_ns(at, NS + ours + by) for at, ours, by in zip(sent, slow, late, strict=True)]
    steps = [after - before for before, after in zip(found[50:], found[51:], strict=False)]
    assert max(abs(step - NS // 50) for step in steps) < NS // 250
    assert abs(found[-1] - NS - slow[-1] - NS // 50) < NS // 50


def test_a_sender_that_counts_anew_is_believed_at_once() -> None:
    clock = RemoteClock()
    for number in range(60):
        clock.to_local_ns(number * NS // 50, 5 * NS + number * NS // 50)
    assert clock.to_local_ns(0, 60 * NS) == 60 * NS


async def test_sleeping_until_a_past_moment_returns_at_once() -> None:
    start = now_ns()
    await sleep_until(start - NS)
    assert now_ns() - start < NS // 2


async def test_a_pacer_gives_slots_a_period_apart() -> None:
    pacer = FramePacer(200)
    slots = [await pacer.wait_for_slot() for _ in range(5)]
    assert {(later - earlier) % pacer.period_ns for earlier, later in zip(slots, slots[1:], strict=False)} == {0}
    assert now_ns() >= slots[-1]


async def test_a_pacer_skips_the_slots_that_were_missed() -> None:
    pacer = FramePacer(100, start_ns=now_ns() - 10 * NS // 100)
    slot = await pacer.wait_for_slot()
    assert pacer.skipped_slots >= 10
    assert now_ns() - slot < pacer.period_ns + NS // 10


def test_waits_double_up_to_the_longest_and_begin_again_after_a_success() -> None:
    backoff = ExponentialBackoff(initial_s=0.5, max_s=3.0)
    waits = [backoff.next_delay_s() for _ in range(6)]
    for wait, middle in zip(waits, (0.5, 1.0, 2.0, 3.0, 3.0, 3.0), strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle
    backoff.reset()
    assert backoff.next_delay_s() <= 0.625
