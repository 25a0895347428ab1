"""``livehead serve``: refuses to be reached in the clear, ends when it is told to, shows what it can do."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest

from livehead.assembly.avatar_runtime import IMAGE_BACKGROUND, AvatarSettings
from livehead.assembly.server_avatars import ServerAvatarFactory
from livehead.assembly.settings import ice_servers_from_settings
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT
from livehead.bench.webrtc import run_server
from livehead.cli import main
from livehead.commands.serve import (
    DEFAULT_SIZE,
    add_arguments,
    load_serve_settings,
    make_access,
    make_tls_context,
    require_safe_exposure,
    resolve_token,
    shown_token,
)
from livehead.config import RunSettings, ServeSettings
from livehead.errors import ConfigError
from livehead.interfaces import DriverInputs
from livehead.perception.photo import read_photo
from livehead.server.access import EXTENSION_ORIGIN
from livehead.storage import storage_folder
from tests.commands.test_bad_input import refused

TOKEN = "a token of twenty-four c"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.example"])
def test_beyond_this_machine_a_token_and_tls_are_needed(host: str) -> None:
    with pytest.raises(ConfigError, match="--token new"):
        require_safe_exposure(host, "", tls=True, behind_proxy=False)
    with pytest.raises(ConfigError, match="--tls-cert"):
        require_safe_exposure(host, TOKEN, tls=False, behind_proxy=False)
    require_safe_exposure(host, TOKEN, tls=True, behind_proxy=False)
    require_safe_exposure(host, TOKEN, tls=False, behind_proxy=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_this_machine_alone_nothing_is_needed(host: str) -> None:
    require_safe_exposure(host, "", tls=False, behind_proxy=False)


def test_a_proxy_makes_a_loopback_address_public_so_that_a_token_is_needed() -> None:
    with pytest.raises(ConfigError, match="token"):
        require_safe_exposure("127.0.0.1", "", tls=False, behind_proxy=True)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 characters"):
        require_safe_exposure("127.0.0.1", "secret", tls=False, behind_proxy=False)


def test_help_does_not_print_the_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LIVEHEAD_TOKEN", TOKEN)
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert TOKEN not in capsys.readouterr().out


def test_bad_arguments_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--token" in refused(capsys, "serve", "--host", "0.0.0.0")
    serve = ("serve", "--model", "warp")
    assert "no photo" in refused(capsys, *serve, "--avatar", tmp_path / "nobody.jpg")
    assert "PEM" in refused(capsys, *serve, "--tls-cert", tmp_path / "none.pem")
    assert "sessions" in refused(capsys, *serve, "--sessions", "0")
    assert "turns:HOST" in refused(capsys, *serve, "--ice-server", "relay.example")
    assert "LIVEHEAD_TURN_PASSWORD" in refused(capsys, *serve, "--ice-server", "turn:relay.example")
    assert "no TURN server" in refused(capsys, *serve, "--relay-only")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "in use" in refused(capsys, *serve, "--port", taken.getsockname()[1])


def test_the_browser_extension_is_let_in_only_when_asked_for() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert make_access(load_serve_settings(parser.parse_args([])).serve, "").viewer_origins == frozenset()
    assert make_access(load_serve_settings(parser.parse_args(["--extension"])).serve, "").viewer_origins == {
        EXTENSION_ORIGIN
    }


@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_gracefully(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "livehead", "serve", "--port", "0", "--model", "warp", "--render-size", "128"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        if line.startswith("open "):
            break
    url = line.split()[1]
    with urlopen(f"{url}health", timeout=20) as answer:
        assert b'"ok"' in answer.read()
    server.send_signal(number)
    assert server.wait(20) == 0
    assert "Traceback" not in server.stderr.read()
    server.stderr.close()


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_relays_come_from_the_file_and_what_they_want_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('[stream.ice]\nservers = ["turn:one.example"]\nusername = "ada"\npassword = "in the file"\n')
    settings = load_serve_settings(arguments("--config", file)).stream.ice
    assert ice_servers_from_settings(settings).credentials() == ("ada", "in the file")
    assert "in the file" not in repr(settings) + settings.model_dump_json()
    monkeypatch.setenv("LIVEHEAD_TURN_PASSWORD", "in the environment")
    given = arguments("--config", file, "--ice-server", "stun:two.example", "--ice-server", "turns:three.example")
    ice = ice_servers_from_settings(load_serve_settings(given).stream.ice)
    assert ice.urls == ("stun:two.example", "turns:three.example")
    assert ice.credentials() == ("ada", "in the environment")
    monkeypatch.setenv("LIVEHEAD_TURN_SECRET", "shared")
    assert ice_servers_from_settings(settings).credentials()[0].endswith(":ada")


def test_a_file_says_where_and_for_whom_and_the_command_line_overrides_it(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(
        'model = "warp"\n[serve]\nport = 9000\nviewers = 3\norigins = ["https://a.example"]\ntoken = "' + TOKEN + '"\n'
    )
    settings = load_serve_settings(arguments("--config", file, "--viewers", 5, "--idle", 7))
    serve = settings.serve
    assert (settings.model, serve.port, serve.viewers, serve.idle_s) == ("warp", 9000, 5, 7.0)
    assert serve.origins == ("https://a.example",)
    assert resolve_token(serve) == TOKEN
    assert TOKEN not in repr(settings) + settings.model_dump_json()
    assert settings.stream.size == DEFAULT_SIZE  # the server's own, as the file names none
    file.write_text('[stream]\nsize = "640x360"\n')
    assert load_serve_settings(arguments("--config", file)).stream.size == (640, 360)
    assert load_serve_settings(arguments("--config", file, "--size", "320x240")).stream.size == (320, 240)


def test_an_unknown_key_is_told_with_the_nearest_known_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "serve.toml"
    for text, named in (
        ("[serve]\nprot = 1", "port"),
        ("[sevre]\nport = 1", "serve"),
        ("[serve]\nviewer = 2", "viewers"),
    ):
        file.write_text(text)
        assert f"did you mean '{named}'" in refused(capsys, "serve", "--config", file)
    file.write_text("[serve]\nport = 100000\n")
    assert "serve.port" in refused(capsys, "serve", "--config", file)


def test_a_new_token_is_told_to_a_person_and_to_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEHEAD_TOKEN", raising=False)
    new = ServeSettings(token="new")
    assert len(made := resolve_token(new, on_terminal=True)) >= 32
    assert shown_token(new, made) == made
    for serve, on_terminal in ((ServeSettings(token="new", log_format="json"), True), (new, False)):
        with pytest.raises(ConfigError, match="LIVEHEAD_TOKEN"):
            resolve_token(serve, on_terminal=on_terminal)
    monkeypatch.setenv("LIVEHEAD_TOKEN", TOKEN)
    assert resolve_token(ServeSettings(log_format="json")) == TOKEN


def test_a_token_of_the_person_s_own_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHEAD_TOKEN", TOKEN)
    assert shown_token(ServeSettings(), TOKEN) == "..."
    assert shown_token(ServeSettings(token=TOKEN), TOKEN) == "..."
    assert shown_token(ServeSettings(log_format="json"), TOKEN) == ""
    assert shown_token(ServeSettings(), "") == ""


def test_a_port_in_use_is_told_before_anything_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        program = (
            "import sys; from livehead.cli import main; status = main(['serve', '--port', sys.argv[1]]); "
            "print(sorted({'torch', 'mediapipe', 'cv2'} & set(sys.modules))); sys.exit(status)"
        )
        told = subprocess.run([sys.executable, "-c", program, port], capture_output=True, text=True, timeout=60)
    assert told.returncode == 2
    assert "in use" in told.stderr
    assert told.stdout == "[]\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX's")
def test_with_json_every_line_is_json_and_none_holds_the_token() -> None:
    command = [sys.executable, "-m", "livehead", "serve", "--port", "0", "--model", "warp", "--render-size", "128"]
    command += ["--log-format", "json"]
    environment = {**os.environ, "LIVEHEAD_TOKEN": TOKEN}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(json.loads(line))
        if lines[-1].get("text", "").startswith("open "):
            break
    with pytest.raises(HTTPError):
        urlopen(f"{lines[-1]['text'].split()[1]}metrics", timeout=20)
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
    lines += [json.loads(line) for line in server.stderr]
    server.stderr.close()
    assert {"time", "level", "event"} <= set.intersection(*(set(each) for each in lines))
    assert [each["what"] for each in lines if each["event"] == "refused"] == ["/metrics"]
    assert TOKEN not in json.dumps(lines)


def test_a_certificate_is_made_and_is_told_how_to_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--make-certificate", "studio.local", "192.168.1.5"]) == 0
    told = capsys.readouterr().err
    assert "--tls-cert livehead-cert.pem --tls-key livehead-key.pem" in told
    assert "livehead-trust.pem" in told
    assert (
        make_tls_context(ServeSettings(tls_cert=Path("livehead-cert.pem"), tls_key=Path("livehead-key.pem")))
        is not None
    )
    assert "there already" in refused(capsys, "serve", "--make-certificate", "studio.local")
    assert "no host name" in refused(capsys, "serve", "--make-certificate", "a b")


def test_serving_for_a_measurement_tells_its_address_and_ends() -> None:
    with (
        run_server("--model", "passthrough", "--time-code") as served,
        urlopen(f"{served.url}health", timeout=5) as answer,
    ):
        assert answer.status == 200


class TestPlayers:
    @pytest.fixture(scope="class")
    def players(self, tmp_path_factory: pytest.TempPathFactory) -> ServerAvatarFactory:
        settings = RunSettings(model="warp", render_size=128)
        return ServerAvatarFactory(settings, DRAWN_PORTRAIT)

    def test_they_offer_what_is_installed(self, players: ServerAvatarFactory) -> None:
        assert {"face", "idle"} <= set(players.drivers)
        assert "warp" in players.models

    def test_a_stage_goes_on_with_the_driver_and_the_calibration_before_it(self, players: ServerAvatarFactory) -> None:
        first = players.create_runtime(players.default_settings(), None)
        choice = players.default_settings()
        photo = players.prepare_portrait(read_photo(ASTRONAUT_PHOTO))
        second = players.create_runtime(
            AvatarSettings(photo, "face", "warp", "relative", choice.gains, "keep", True), first
        )
        assert second.driver is first.driver
        assert second.live_avatar.calibration is first.live_avatar.calibration
        first.close(second)  # leaves the driver alone
        picture = second.animator.animate(DriverInputs(None, None, 0))
        assert picture.shape == (720, 1280, 3)
        second.close(None)

    def test_a_picture_of_one_s_own_stands_behind_the_avatar(self, players: ServerAvatarFactory) -> None:
        green = np.full((64, 64, 3), (10, 200, 60), np.uint8)
        choice = players.default_settings()
        own = AvatarSettings(choice.portrait, "idle", "warp", "relative", choice.gains, IMAGE_BACKGROUND, False, green)
        stage = players.create_runtime(own, None)
        picture = stage.animator.animate(DriverInputs(None, None, 0))
        assert np.abs(picture[:20, :20].reshape(-1, 3).mean(axis=0) - (10, 200, 60)).max() < 4
        stage.close(None)

    def test_guests_photos_are_written_to_no_disk(
        self, players: ServerAvatarFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        before = set(storage_folder("cache", "avatars").rglob("*"))
        portrait = players.prepare_portrait(read_photo(ASTRONAUT_PHOTO))
        settings = replace(players.default_settings(), portrait=portrait, driver="idle")
        players.create_runtime(settings, None).close(None)
        assert set(storage_folder("cache", "avatars").rglob("*")) == before
        assert list((tmp_path / "temporary").rglob("*")) == []
        again = players.prepare_portrait(read_photo(ASTRONAUT_PHOTO))
        assert again is not portrait
        assert again.digest == portrait.digest
