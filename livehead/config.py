"""Typed settings, read from TOML. Every default of the command line is written here, once.

An unknown key is an error that names the nearest known key.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from livehead.errors import ConfigError, did_you_mean
from livehead.untrusted_files import DamagedFileError, read_untrusted


def _parse_size(value: Any) -> Any:
    if isinstance(value, str):
        parts = value.lower().split("x")
        if len(parts) == 2 and all(part.isdigit() for part in parts):
            return tuple(int(part) for part in parts)
        raise ValueError("a size is WIDTHxHEIGHT, as 1280x720")
    return value


Side = Annotated[int, Field(ge=16, le=4096)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_parse_size)]
Gain = Annotated[float, Field(ge=0, le=3)]


def _parse_face(value: Any) -> Any:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:  # or else Python complains of its length
        value = int(value)
    if value in ("largest", "left", "right") or (type(value) is int and 1 <= value <= 100):
        return value
    raise ValueError("give largest, left, right or a number, where 1 is the first from the left")


def _refuse_address(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise ValueError("an address is no file: download it and give the file's path")
    return value


LocalPath = Annotated[Path, BeforeValidator(_refuse_address)]
FaceChoice = Annotated[Literal["largest", "left", "right"] | int, BeforeValidator(_parse_face)]
"""Which face of a photo with several becomes the avatar: a number counts from the left, from 1."""


class StrictSettings(BaseModel):
    """The base of all settings, which are frozen and refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IceSettings(StrictSettings):
    """STUN and TURN ``servers`` for WebRTC, as ``turn:HOST:3478``, and the credentials that they ask for.

    ``password`` (for ``username``) and ``secret`` can also come from the environment, and are never shown.
    ``relay_only``: all media go through a TURN server.
    """

    servers: tuple[str, ...] = ()
    username: str = ""
    password: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    relay_only: bool = False


class StreamSettings(StrictSettings):
    """The pictures and the sound that the sinks get.

    Pictures have ``size`` (width, height in pixels) and come at ``fps``; sound has ``audio_rate`` Hz, and None means no
    sound; a recording's has ``audio_channels``, a broadcast's at most two of them. ``bitrate`` is that of the picture
    by rtmp: and udp:, in bits a second. ``overwrite``: a recording takes the place of an earlier file of its name.
    ``encoder`` makes WebRTC's H.264; auto takes the graphics card's where a trial of it succeeds. ``whip_token`` and
    ``stream_key`` can also come from the environment, and are never shown.
    """

    size: Size = (1280, 720)
    fps: Annotated[float, Field(gt=0, le=120)] = 30.0
    audio_rate: int | None = None
    audio_channels: Literal[1, 2, 3, 4, 5, 6] = 1
    bitrate: Annotated[int, Field(ge=100_000, le=50_000_000)] = 3_000_000
    overwrite: bool = False
    encoder: Literal["auto", "software"] = "auto"
    whip_token: SecretStr = SecretStr("")
    stream_key: SecretStr = SecretStr("")
    ice: IceSettings = IceSettings()


class CameraSettings(StrictSettings):
    """The size (width, height in pixels) and the frame rate that a camera is asked for."""

    size: Size = (640, 480)
    fps: Annotated[float, Field(gt=0, le=120)] = 30.0


class GainSettings(StrictSettings):
    """How strongly each region of the face follows the performer, where 1 is exactly and 0 is not at all."""

    eyes: Gain = 1.0
    mouth: Gain = 1.0
    brows: Gain = 1.0
    head: Gain = 1.0
    gaze_to_camera: Annotated[float, Field(ge=0, le=1)] = 0.0


class PictureSettings(StrictSettings):
    """How the avatar is placed into the picture that is sent, and which ``face`` of its photo it is."""

    face: FaceChoice = "largest"
    fit: Literal["fit", "crop", "blur"] = "blur"
    background: str = "keep"
    badge: bool = False


class BudgetSettings(StrictSettings):
    """How much livehead may use: milliseconds a frame (0 means one frame period) and a share of the machine."""

    frame_ms: Annotated[float, Field(ge=0)] = 0.0
    machine_share: Annotated[float, Field(gt=0, le=1)] = 1.0


class ServeSettings(StrictSettings):
    """The address of ``livehead serve`` and who may use it; ``livehead run`` does not read these settings.

    ``avatar`` is the photo that is shown until a page brings its own. ``token`` can also come from the environment, and
    is never shown. ``origins`` are those of pages that a proxy serves, as ``https://a.example``. ``extension`` lets
    this machine's browser extension watch. A session that nobody is connected to ends after ``idle_s`` seconds.
    """

    avatar: LocalPath | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    token: SecretStr = SecretStr("")
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    origins: tuple[str, ...] = ()
    extension: bool = False
    sessions: Annotated[int, Field(ge=1, le=1000)] = 4
    viewers: Annotated[int, Field(ge=1, le=1000)] = 16
    idle_s: Annotated[float, Field(gt=0)] = 60.0
    log_format: Literal["text", "json"] = "text"


class RunSettings(StrictSettings):
    """All settings of ``livehead run`` and ``serve`` that a file may hold; the command line overrides them."""

    driver: str = "auto"
    model: str = "auto"
    capture: str = "camera"
    microphone: str | None = None
    sound_out: str | None = None
    sinks: tuple[str, ...] = ("virtualcam",)
    mode: Literal["relative", "absolute"] = "relative"
    render_size: Annotated[int, Field(ge=64, le=1024)] = 512
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    camera: CameraSettings = CameraSettings()
    stream: StreamSettings = StreamSettings()
    picture: PictureSettings = PictureSettings()
    gains: GainSettings = GainSettings()
    budget: BudgetSettings = BudgetSettings()
    serve: ServeSettings = ServeSettings()


SettingsT = TypeVar("SettingsT", bound=BaseModel)
_MAX_KEY_LENGTH = 100  # of a key in an error's line; a damaged file can have one of any length


def load_settings(settings_type: type[SettingsT], path: Path) -> SettingsT:
    """Read settings of ``settings_type`` from a TOML file. Raises: ConfigError."""
    try:
        tree = read_untrusted(path, lambda content: tomllib.loads(content.decode("utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})", "give the path of a TOML file") from error
    except DamagedFileError as error:
        raise ConfigError(f"{path} is not TOML ({error})", "mend that line") from error
    return parse_settings(settings_type, tree, where=str(path))


def parse_settings(settings_type: type[SettingsT], values: dict[str, Any], where: str = "settings") -> SettingsT:
    """Make settings of ``settings_type`` from plain values.

    Raises: ConfigError with the key, its fault and the nearest known key.
    """
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_describe_error(settings_type, error)}", subject=where) from error


def parse_face_choice(value: object, where: str) -> FaceChoice:
    """The choice of one of several faces or people as ``where`` gives it. Raises: ConfigError."""
    return parse_settings(PictureSettings, {"face": value}, where=where).face


def _describe_error(settings_type: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    key = key if len(key) <= _MAX_KEY_LENGTH else f"{key[:_MAX_KEY_LENGTH]}..."
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}: {did_you_mean(path[-1], _known_keys(settings_type, path[:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _known_keys(settings_type: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = settings_type.model_fields[part].annotation if part in settings_type.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        settings_type = annotation
    return list(settings_type.model_fields)
