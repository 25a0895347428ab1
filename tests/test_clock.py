from fractions import Fraction

from livehead.clock import NS, Backoff, Pacer, Timeline, now_ns, sleep_until


def test_a_timeline_counts_from_its_first_moment_and_never_goes_back() -> None:
    line = Timeline(Fraction(1, 1000))
    assert [line.pts(ms * 1_000_000) for ms in (500, 533, 533, 520, 600)] == [0, 33, 34, 35, 100]


async def test_sleeping_until_a_past_moment_returns_at_once() -> None:
    start = now_ns()
    await sleep_until(start - NS)
    assert now_ns() - start < NS // 2


async def test_a_pacer_gives_slots_a_period_apart() -> None:
    pacer = Pacer(200)
    slots = [await pacer.tick() for _ in range(5)]
    assert {(later - earlier) % pacer.period_ns for earlier, later in zip(slots, slots[1:], strict=False)} == {0}
    assert now_ns() >= slots[-1]


async def test_a_pacer_skips_the_slots_that_were_missed() -> None:
    pacer = Pacer(100, start_ns=now_ns() - 10 * NS // 100)
    slot = await pacer.tick()
    assert pacer.skipped >= 10
    assert now_ns() - slot < pacer.period_ns + NS // 10


def test_waits_double_up_to_the_longest_and_begin_again_after_a_success() -> None:
    backoff = Backoff(first_s=0.5, most_s=3.0)
    waits = [backoff.next_s() for _ in range(6)]
    for wait, middle in zip(waits, (0.5, 1.0, 2.0, 3.0, 3.0, 3.0), strict=True):
        assert 0.75 * middle <= wait <= 1.25 * middle
    backoff.reset()
    assert backoff.next_s() <= 0.625
