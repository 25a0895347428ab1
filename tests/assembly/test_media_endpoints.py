"""What is shown of a sink, and where its secrets come from."""

import pytest

from livehead.assembly import media_endpoints
from livehead.assembly.media_endpoints import redacted
from livehead.config import RunSettings, StreamSettings, parse_settings
from livehead.environment import STREAM_KEY_VARIABLE, WHIP_TOKEN_VARIABLE


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
    sink = media_endpoints.whip_sink("https://sfu.example/x", stream)
    assert sink._endpoint._token == "secret"


def test_a_stream_key_is_added_to_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STREAM_KEY_VARIABLE, "secret")
    sink = media_endpoints.rtmp_sink("//live.example/app", StreamSettings())
    assert sink._link._target.url.endswith("rtmp://live.example/app/secret")
    assert media_endpoints.rtmps_sink("//live.example/app", StreamSettings())._link._target.port == 443
