"""What ``/metrics`` tells of a server: figures that go on when sessions end, in a form that others read."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from livehead.server.prometheus import ServerMetrics
from tests.fixtures.studio import sessions
from tests.server.test_session_manager import until


def figures(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample's value, by its name and the values of its labels."""

    def samples() -> Iterator[tuple[tuple[str, ...], float]]:
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                yield (sample.name, *sorted(sample.labels.values())), sample.value

    return dict(samples())


async def test_the_histogram_counts_every_frame_and_not_the_newest_thousand() -> None:
    metrics = ServerMetrics()
    stats = metrics.open_session_stats()
    for _ in range(1024):
        stats.record_timing("encode", 8.0)
    first = figures(metrics.render([]))
    for _ in range(1000):
        stats.record_timing("encode", 400.0)
    second = figures(metrics.render([]))
    name = "livehead_stage_milliseconds"
    assert first[f"{name}_bucket", "10.0", "encode"] == second[f"{name}_bucket", "10.0", "encode"] == 1024
    assert second[f"{name}_bucket", "+Inf", "encode"] == second[f"{name}_count", "encode"] == 2024
    assert second[f"{name}_sum", "encode"] == 1024 * 8 + 1000 * 400
    assert all(value >= first[key] for key, value in second.items() if key[0].startswith(name))


async def test_a_stage_that_never_ran_has_no_frames() -> None:
    assert figures(ServerMetrics().render([]))["livehead_stage_milliseconds_count", "total"] == 0


async def test_totals_go_on_when_a_session_ends_and_another_begins() -> None:
    async with sessions() as running:
        counted = ("livehead_frames_sent", "livehead_sessions_opened_total", "livehead_camera_frames")
        ended_with: dict[tuple[str, ...], float] = {}
        for number in (1, 2):
            session = await running.open_session()
            session.broadcast.add_video_track("H264")
            await until(lambda: session.stats.read_counters().get("encoded", 0) > 3)  # noqa: B023
            session.close("done")
            await session.ended.wait()
            await until(lambda: not len(running))
            text = figures(running.metrics.render(list(running)))
            assert text["livehead_sessions",] == 0
            assert text["livehead_sessions_opened_total",] == number
            assert text["livehead_frames_sent",] >= ended_with.get(("livehead_frames_sent",), 0) + 4
            assert all(text[name,] >= ended_with.get((name,), 0) for name in counted)
            ended_with = text
        assert ended_with["livehead_stage_milliseconds_count", "encode"] >= ended_with["livehead_frames_sent",]
