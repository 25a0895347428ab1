"""Films say that they are an avatar's, and a changed one is found out."""

import json
import stat
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livehead import __version__
from livehead.cli import main
from livehead.clock import now_ns
from livehead.errors import ConfigError, SourceError
from livehead.frames import AudioFrame, VideoFrame
from livehead.server.recorder import SessionRecorder
from livehead.sinks.file import FileSink
from livehead.sinks.provenance import DIGITAL_SOURCE_TYPE, ManifestSigner, can_sign

needs_c2pa = pytest.mark.skipif(not can_sign(), reason="c2pa-python is not installed")


async def filmed(path: Path, signer: ManifestSigner | None = None) -> Path:
    """A film of ten pictures with sound."""
    seal = (lambda film: signer.sign_if_possible(film, "warp")) if signer else (lambda film: None)
    async with FileSink(path, audio_rate=48_000, on_finished=seal) as sink:
        start = now_ns()
        for number in range(10):
            at = start + number * 33_000_000
            image = np.full((64, 96, 3), 20 * number, np.uint8)
            await sink.send(AudioFrame(np.full((1, 1584), 0.1, np.float32), 48_000, number * 1584, at))
            await sink.send(VideoFrame(image, number * 3000, Fraction(1, 90_000), at))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pictures(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


@needs_c2pa
async def test_a_signed_film_names_its_tool_model_and_time_and_still_plays(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    film = await filmed(tmp_path / "avatar.mp4", signer)
    found = signer.verify(film)
    assert found.intact
    assert found.own
    assert found.tool == f"livehead {__version__}"
    assert found.model == "warp"
    assert found.when.endswith("Z")
    assert DIGITAL_SOURCE_TYPE.encode() in film.read_bytes()  # for programs that look no further
    assert pictures(film) == 10
    assert names(tmp_path) == ["avatar.mp4", "keys"]


@needs_c2pa
async def test_a_changed_film_is_found_out(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    film = await filmed(tmp_path / "avatar.mp4", signer)
    whole = film.read_bytes()
    media = whole.index(b"mdat") + 200
    for at in (media, media + 500):
        film.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not signer.verify(film).intact
    word = whole.index(b"livehead.model")
    film.write_bytes(whole[:word] + b"livehead.nobody"[:14] + whole[word + 14 :])
    assert not signer.verify(film).intact


@needs_c2pa
async def test_another_installation_s_film_is_whole_but_not_one_s_own(tmp_path: Path) -> None:
    film = await filmed(tmp_path / "avatar.mp4", ManifestSigner(tmp_path / "theirs"))
    one, other = ManifestSigner(tmp_path / "theirs").verify(film), ManifestSigner(tmp_path / "mine").verify(film)
    assert one.intact
    assert other.intact
    assert one.own
    assert not other.own


@needs_c2pa
async def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    first = await filmed(tmp_path / "1.mp4", signer)
    key = (tmp_path / "keys" / "key.pem").read_bytes()
    second = await filmed(tmp_path / "2.mp4", ManifestSigner(tmp_path / "keys"))
    assert (tmp_path / "keys" / "key.pem").read_bytes() == key
    assert stat.S_IMODE((tmp_path / "keys" / "key.pem").stat().st_mode) == 0o600
    assert signer.verify(first).signer == signer.verify(second).signer
    assert key not in first.read_bytes()


@needs_c2pa
async def test_a_recording_of_the_server_is_signed(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    async with SessionRecorder(
        tmp_path, 30.0, lambda error: None, lambda film: signer.sign_if_possible(film, "compact")
    ) as recorder:
        await recorder.start()
        for number in range(5):
            image = np.full((64, 64, 3), number * 9, np.uint8)
            await recorder.send(VideoFrame(image, number * 3000, Fraction(1, 90_000), now_ns()))
        await recorder.stop()
        assert recorder.finished_path is not None
        found = signer.verify(recorder.finished_path)
        assert found.intact
        assert found.model == "compact"


@needs_c2pa
async def test_the_command_tells_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path / "home"))
    signed, plain = await filmed(tmp_path / "signed.mp4", ManifestSigner()), await filmed(tmp_path / "plain.mp4")
    assert main(["verify", str(signed), "--json", str(tmp_path / "found.json")]) == 0
    assert "unchanged; an avatar by livehead" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["films"][str(signed)]["own"]
    assert main(["verify", str(signed), str(plain)]) == 1
    assert "says nothing" in capsys.readouterr().out
    for film in (plain, tmp_path / "nobody.mp4"):
        assert main(["verify", str(film)]) == 2
        assert "says nothing of its origin" in capsys.readouterr().err


@needs_c2pa
async def test_what_cannot_be_signed_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no film")
    with pytest.raises(ConfigError, match="could not be signed"):
        ManifestSigner(tmp_path / "keys").sign(tmp_path / "no.mp4")
    ManifestSigner(tmp_path / "keys").sign_if_possible(tmp_path / "no.mp4")
    assert (tmp_path / "no.mp4").read_bytes() == b"no film"
    with pytest.raises(SourceError, match="says nothing"):
        ManifestSigner(tmp_path / "keys").verify(tmp_path / "no.mp4")


async def test_without_the_extra_films_stay_unsigned_and_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livehead.sinks.provenance.can_sign", lambda: False)
    film = await filmed(tmp_path / "avatar.mp4", ManifestSigner(tmp_path / "keys"))
    assert pictures(film) == 10
    assert not (tmp_path / "keys").exists()
    with pytest.raises(ConfigError, match=r"livehead\[c2pa\]"):
        ManifestSigner(tmp_path / "keys").verify(film)
