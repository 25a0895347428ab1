"""What is shown of a sink, and where its secrets come from."""

import sys
from collections.abc import Callable

import pytest

from livehead.assembly.media_endpoints import check_capture, check_microphone, check_sink, open_sink, redacted
from livehead.config import RunSettings, StreamSettings, parse_settings
from livehead.environment import STREAM_KEY_VARIABLE, WHIP_TOKEN_VARIABLE
from livehead.errors import LiveheadError


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("whip:https://sfu.example/secret/publish", "whip:sfu.example"),
        ("whip:https://me:secret@sfu.example/x", "whip:sfu.example"),
        ("rtmp://live.example:1936/app/secret", "rtmp:live.example:1936"),
        ("rtmp:rtmps://live.example/app/secret", "rtmp:live.example"),
        ("rtmps://live.example/app/secret", "rtmps:live.example"),
        ("whip:[secret", "whip:..."),
        ("udp:127.0.0.1:5000", "udp:127.0.0.1:5000"),
        ("udp://127.0.0.1:5000", "udp://127.0.0.1:5000"),
        ("url:rtsp://me:secret@10.0.0.7/live?key=secret", "url:rtsp://10.0.0.7/live"),
        ("http://me:secret@10.0.0.7/video", "url:http://10.0.0.7/video"),
        ("file:talk.mp4", "file:talk.mp4"),
        ("window", "window"),
    ],
)
def test_of_a_server_s_address_only_the_host_is_shown(spec: str, told: str) -> None:
    assert redacted(spec) == told


def test_secrets_of_the_settings_are_masked_where_settings_are_written() -> None:
    ice = {"password": "hush-hush", "secret": "hush-hush"}
    settings = parse_settings(
        RunSettings, {"stream": {"whip_token": "hush-hush", "stream_key": "hush-hush", "ice": ice}}
    )
    assert settings.stream.whip_token.get_secret_value() == "hush-hush"
    assert "hush-hush" not in settings.model_dump_json()
    assert "hush-hush" not in repr(settings)


@pytest.mark.parametrize("where", ["environment", "settings"])
def test_a_token_comes_from_the_environment_or_the_settings(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.delenv(WHIP_TOKEN_VARIABLE, raising=False)
    if where == "environment":
        monkeypatch.setenv(WHIP_TOKEN_VARIABLE, "secret")
    stream = parse_settings(StreamSettings, {} if where == "environment" else {"whip_token": "secret"})
    monkeypatch.setattr("livehead.sinks.whip.WhipSink", lambda url, **given: given)
    assert open_sink("whip:https://sfu.example/x", stream)["token"] == "secret"


def test_a_stream_key_is_added_to_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STREAM_KEY_VARIABLE, "secret")
    monkeypatch.setattr("livehead.sinks.stream.StreamSink", lambda target, **given: target)
    assert open_sink("rtmp://live.example/app", StreamSettings()).url.endswith("rtmp://live.example/app/secret")
    assert open_sink("rtmps://live.example/app", StreamSettings()).port == 443


@pytest.mark.parametrize(
    ("check", "spec", "complaint"),
    [
        (check_capture, "camera:front", "there is no camera"),
        (check_capture, "camera:87", "camera 87"),
        (check_capture, "/dev/video87", "camera /dev/video87"),
        (check_capture, "file:http://host/x.mp4", "write url:http://host/x.mp4"),
        (check_capture, "file:rtsp://me:secret@host/x", "write url:rtsp://host/x"),
        (check_capture, "url:", "write url:rtsp://HOST/PATH"),
        (check_capture, "url:file:///etc/passwd", "use http, https, rtsp"),
        (check_capture, "http://", "not usable"),
        (check_microphone, "url:", "needs more"),
        (check_microphone, "file:https://host/talk.wav", "write url:https://host/talk.wav"),
        (check_capture, "file:", "needs a path"),
        (check_capture, "file:nobody.mp4", "nobody.mp4"),
        (check_microphone, "file:", "needs more"),
        (check_microphone, "file:nobody.wav", "nobody.wav"),
        (check_sink, "file:talk.gif", ".mp4"),
        (check_sink, "file:nowhere/talk.mp4", "folder"),
        (check_sink, "window:large", "one word too many"),
    ],
)
def test_an_end_that_cannot_be_there_is_told_before_it_is_opened(
    check: Callable[[str], None], spec: str, complaint: str
) -> None:
    if spec == "camera:87" and sys.platform != "linux":
        pytest.skip("only Linux can tell without opening the camera")
    with pytest.raises(LiveheadError, match=complaint):
        check(spec)


@pytest.mark.parametrize("spec", ["http://10.0.0.7/video", "rtsp://me:secret@10.0.0.7/live", "url:udp://0.0.0.0:5000"])
def test_an_address_is_a_capture_and_a_microphone_without_being_opened(spec: str) -> None:
    check_capture(spec)
    check_microphone(spec)
