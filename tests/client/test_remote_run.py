"""``run --render-at``: what cannot be done elsewhere is refused, the token stands nowhere, pictures fit."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from livehead.client.remote_run import add_portrait, build_session_request, read_token
from livehead.config import RunSettings
from livehead.errors import ConfigError
from livehead.perception.portrait import prepare_portrait
from tests.commands.test_bad_input import refused


def at(photo: Path, *more: object, url: str = "ws://127.0.0.1:9") -> tuple[object, ...]:
    return ("run", "--avatar", photo, "--driver", "idle", "--render-at", url, "--seconds", "0.1", *more)


def test_what_cannot_be_done_elsewhere_is_refused(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink = ("--sink", "null")
    assert "in the clear" in refused(capsys, *at(photo, *sink, url="ws://studio.example"))
    assert "profile" in refused(capsys, *at(photo, *sink, "--profile", "me"))
    assert "no sound" in refused(capsys, *at(photo, *sink, "--sound-out", "cable"))
    assert "face or voice" in refused(capsys, *at(photo, *sink, "--driver", "face+voice"))
    assert "window" in refused(capsys, *at(photo, "--sink", "window"))
    assert "#rrggbb" in refused(capsys, *at(photo, *sink, "--background", "green"))
    assert "token" in refused(capsys, *at(photo, *sink, "--token-file", photo.parent / "none.txt"))
    assert "--render-at" in refused(capsys, "run", "--avatar", photo, "--token-file", "token.txt")


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHEAD_TOKEN", "of the environment")
    assert read_token(None) == "of the environment"
    (tmp_path / "token").write_text("of the file\n")
    assert read_token(tmp_path / "token") == "of the file"
    monkeypatch.delenv("LIVEHEAD_TOKEN")
    assert read_token(None) == ""


@pytest.mark.parametrize("content", ["two\nlines", "x" * 300])
def test_a_file_that_holds_something_else_is_not_repeated(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(ConfigError) as refusal:
        read_token(tmp_path / "token")
    assert content[:3] not in str(refusal.value)


def test_images_are_brought_and_settings_are_told(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "beach.png").write_bytes(b"a beach")
    settings = RunSettings.model_validate({"model": "warp", "picture": {"background": str(tmp_path / "beach.png")}})
    session_request = build_session_request(settings, photo)
    assert session_request.photo == photo.read_bytes()
    assert session_request.backdrop == b"a beach"
    assert session_request.settings.model == "warp"
    assert session_request.settings.background == "image"
    assert build_session_request(RunSettings(), photo).settings.model is None


def test_the_face_and_the_picture_that_were_chosen_here_are_drawn_there(photo: Path, tmp_path: Path) -> None:
    one = Image.open(photo).convert("RGB").resize((400, 400))
    two = Image.new("RGB", (900, 420), (120, 120, 120))
    for left in (10, 480):
        two.paste(one, (left, 10))
    two.save(tmp_path / "two.png")
    still = prepare_portrait(np.asarray(two), "two.png", face="right")
    request = add_portrait(build_session_request(RunSettings(), tmp_path / "two.png"), still)
    assert request.photo == (tmp_path / "two.png").read_bytes()
    assert request.settings.face == 2
    Image.new("RGB", one.size).save(tmp_path / "moving.gif", save_all=True, append_images=[one])
    alone = prepare_portrait(np.asarray(one), "moving.gif")
    request = add_portrait(build_session_request(RunSettings(), tmp_path / "moving.gif"), alone)
    assert request.photo is not None
    assert np.abs(np.asarray(Image.open(io.BytesIO(request.photo))).astype(int) - np.asarray(one)).mean() < 3
    assert request.settings.face is None
