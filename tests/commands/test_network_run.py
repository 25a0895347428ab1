"""``livehead run`` before a network camera that is started anew, and before captures that have no more pictures."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import av
import pytest

from livehead.cli import EXIT_BAD_INPUT, main
from tests.fixtures.stream_servers import answer_mjpeg, free_port, serve_http, write_stream

QUICK = ("--model", "warp", "--size", "160x160", "--render-size", "128")


def run(photo: Path, *arguments: object) -> int:
    return main(["run", "--avatar", str(photo), *QUICK, *map(str, arguments)])


def test_a_run_outlasts_a_restart_of_its_camera(
    tmp_path: Path, photo: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, film = free_port(), tmp_path / "out.mp4"
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(serve_http(answer_mjpeg, port))

        def restart() -> None:
            first.close()
            time.sleep(1.0)
            second.enter_context(serve_http(answer_mjpeg, port))

        threading.Timer(5.0, restart).start()
        url = f"http://me:secret@127.0.0.1:{port}/video"
        figures = tmp_path / "run.json"
        assert run(photo, "--capture", f"url:{url}", "--sink", f"file:{film}", "--seconds", 10, "--json", figures) == 0
    said = [record.getMessage() for record in caplog.records]
    assert any("is gone" in line for line in said)
    assert any("is back" in line for line in said)
    assert "secret@" not in "".join(said) + figures.read_text()
    assert json.loads(figures.read_text())["settings"]["capture"] == f"url:http://127.0.0.1:{port}/video"
    with av.open(str(film)) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert max(gaps) < 1.0, "pictures go on while the camera is away"


def test_a_film_of_fewer_pictures_than_are_sent_is_not_called_slow(
    tmp_path: Path, photo: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stream(str(tmp_path / "film.mp4"), seconds=6, fps=15, sound=False)
    assert run(photo, "--capture", f"file:{tmp_path / 'film.mp4'}", "--sink", "null") == 0
    said = capsys.readouterr().err
    assert "first frame" in said
    assert "gives no more" not in said
    assert "slow" not in said


def test_a_stream_that_has_fewer_pictures_is_called_so(
    photo: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_http(lambda handler: answer_mjpeg(handler, 15.0)) as port:
        assert run(photo, "--capture", f"http://127.0.0.1:{port}/", "--sink", "null", "--seconds", 8) == 0
    said = capsys.readouterr().err
    assert "the stream has 1" in said
    assert "gives no more" not in said


def test_a_camera_that_is_not_there_ends_the_run_with_one_line(
    photo: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photo, "--capture", f"http://127.0.0.1:{free_port()}/", "--sink", "null") == EXIT_BAD_INPUT
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "nothing listens there: start the stream" in line
