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


async def record(path: Path, signer: ManifestSigner | None = None) -> Path:
    """A video of ten pictures with sound."""
    on_finished = (lambda path: signer.sign_if_possible(path, "warp")) if signer else (lambda path: None)
    async with FileSink(path, audio_rate=48_000, on_finished=on_finished) as sink:
        start = now_ns()
        for number in range(10):
            at = start + number * 33_000_000
            image = np.full((64, 96, 3), 20 * number, np.uint8)
            await sink.send(AudioFrame(np.full((1, 1584), 0.1, np.float32), 48_000, number * 1584, at))
            await sink.send(VideoFrame(image, number * 3000, Fraction(1, 90_000), at))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def count_pictures(path: Path) -> int:
    with av.open(str(path)) as video:
        return sum(1 for _ in video.decode(video=0))


@needs_c2pa
async def test_a_signed_video_names_its_tool_model_and_time_and_still_plays(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    video = await record(tmp_path / "avatar.mp4", signer)
    found = signer.verify(video)
    assert found.intact
    assert found.own
    assert found.tool == f"livehead {__version__}"
    assert found.model == "warp"
    assert found.when.endswith("Z")
    assert DIGITAL_SOURCE_TYPE.encode() in video.read_bytes()  # for programs that look no further
    assert count_pictures(video) == 10
    assert names(tmp_path) == ["avatar.mp4", "keys"]


@needs_c2pa
async def test_a_change_of_a_signed_video_is_detected(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    video = await record(tmp_path / "avatar.mp4", signer)
    whole = video.read_bytes()
    media = whole.index(b"mdat") + 200
    for at in (media, media + 500):
        video.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not signer.verify(video).intact
    word = whole.index(b"livehead.model")
    video.write_bytes(whole[:word] + b"livehead.nobody"[:14] + whole[word + 14 :])
    assert not signer.verify(video).intact


@needs_c2pa
async def test_a_video_of_another_installation_is_intact_but_not_our_own(tmp_path: Path) -> None:
    video = await record(tmp_path / "avatar.mp4", ManifestSigner(tmp_path / "theirs"))
    one, other = ManifestSigner(tmp_path / "theirs").verify(video), ManifestSigner(tmp_path / "mine").verify(video)
    assert one.intact
    assert other.intact
    assert one.own
    assert not other.own


@needs_c2pa
async def test_the_key_is_created_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    first = await record(tmp_path / "1.mp4", signer)
    key = (tmp_path / "keys" / "key.pem").read_bytes()
    second = await record(tmp_path / "2.mp4", ManifestSigner(tmp_path / "keys"))
    assert (tmp_path / "keys" / "key.pem").read_bytes() == key
    assert stat.S_IMODE((tmp_path / "keys" / "key.pem").stat().st_mode) == 0o600
    assert signer.verify(first).signer == signer.verify(second).signer
    assert key not in first.read_bytes()


@needs_c2pa
async def test_a_recording_of_the_server_is_signed(tmp_path: Path) -> None:
    signer = ManifestSigner(tmp_path / "keys")
    async with SessionRecorder(
        tmp_path, 30.0, lambda error: None, lambda path: signer.sign_if_possible(path, "compact")
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
async def test_the_command_reports_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path / "home"))
    signed, plain = await record(tmp_path / "signed.mp4", ManifestSigner()), await record(tmp_path / "plain.mp4")
    assert main(["verify", str(signed), "--json", str(tmp_path / "found.json")]) == 0
    assert "unchanged; an avatar by livehead" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["films"][str(signed)]["own"]
    assert main(["verify", str(signed), str(plain)]) == 1
    assert "no content credentials" in capsys.readouterr().out
    for video, complaint in ((plain, "holds no content credentials"), (tmp_path / "nobody.mp4", "does not exist")):
        assert main(["verify", str(video)]) == 2
        assert complaint in capsys.readouterr().err


@needs_c2pa
async def test_a_file_that_cannot_be_signed_stays_unchanged(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(ConfigError, match="could not be signed"):
        ManifestSigner(tmp_path / "keys").sign(tmp_path / "no.mp4")
    ManifestSigner(tmp_path / "keys").sign_if_possible(tmp_path / "no.mp4")
    assert (tmp_path / "no.mp4").read_bytes() == b"no video"
    with pytest.raises(SourceError, match="no content credentials"):
        ManifestSigner(tmp_path / "keys").verify(tmp_path / "no.mp4")


async def test_without_the_extra_videos_stay_unsigned_and_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livehead.sinks.provenance.can_sign", lambda: False)
    video = await record(tmp_path / "avatar.mp4", ManifestSigner(tmp_path / "keys"))
    assert count_pictures(video) == 10
    assert not (tmp_path / "keys").exists()
    with pytest.raises(ConfigError, match=r"livehead\[c2pa\]"):
        ManifestSigner(tmp_path / "keys").verify(video)
