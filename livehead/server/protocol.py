"""What the page and the server say to each other over the WebSocket: typed messages as JSON text. No I/O here.

    page   -> server   hello, offer, motion, follow, settings, calibrate, freeze, record, playout, bye
    server -> page     welcome, answer, opening, state, figures, recording, problem

A message that is unknown, malformed or too big raises ProtocolError; the server answers it with ``problem`` and goes
on. After ``motion`` (to the server) and ``opening`` (to a viewer), binary messages are packets of
``livehead.motion.wire``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from livehead.config import GainSettings
from livehead.errors import LiveheadError, ProtocolError

MOST_BYTES = 64 * 1024
"""Of one message; an offer of a browser with all its codecs takes about 8 kB."""

VERSION = 1

Name = Annotated[str, Field(min_length=1, max_length=64)]
Key = Annotated[str, Field(max_length=256)]
Sdp = Annotated[str, Field(min_length=1, max_length=48 * 1024)]
IceUrl = Annotated[str, Field(pattern=r"^(stun|turns?):[^\s?]+(\?transport=(udp|tcp))?$", max_length=300)]
Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){16,80}$")]
Backdrop = Annotated[str, Field(pattern=r"^(keep|blur|none|image|#[0-9a-fA-F]{6})$")]


class Message(BaseModel):
    """Base of all: frozen, unknown keys refused, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Hello(Message):
    """First message. ``key`` of an earlier ``welcome`` goes on with that session; a viewer's key says whom to watch.

    ``transparent``: a viewer wants the matte beside the colours, in a picture of twice the width.
    """

    type: Literal["hello"] = "hello"
    role: Literal["studio", "viewer"]
    token: Key = ""
    key: Key = ""
    transparent: bool = False


class Offer(Message):
    """SDP of the page's connection, all candidates in it."""

    type: Literal["offer"] = "offer"
    sdp: Sdp


class Motion(Message):
    """Motion comes instead of a camera: ``opening`` in hexadecimal (docs/motion-format.md), then binary packets."""

    type: Literal["motion"] = "motion"
    opening: Hex


class Follow(Message):
    """A viewer draws by itself: it gets the motion, ``opening`` and then packets, in place of pictures."""

    type: Literal["follow"] = "follow"


class Settings(Message):
    """What to change; what is not given stays. ``background`` ``image`` is the one uploaded last."""

    type: Literal["settings"] = "settings"
    driver: Name | None = None
    model: Name | None = None
    mode: Literal["relative", "absolute"] | None = None
    gains: GainSettings | None = None
    background: Backdrop | None = None
    badge: bool | None = None


class Calibrate(Message):
    """Look for the performer's neutral face anew."""

    type: Literal["calibrate"] = "calibrate"


class Freeze(Message):
    """Hold the picture, or go on."""

    type: Literal["freeze"] = "freeze"
    on: bool


class Record(Message):
    """Start or end a recording on the server."""

    type: Literal["record"] = "record"
    on: bool


class Playout(Message):
    """How much longer than pictures the page's browser keeps sound back, so that it is sent so much sooner."""

    type: Literal["playout"] = "playout"
    sound_later_ms: Annotated[float, Field(ge=0, le=1000)]


class Bye(Message):
    """The session is over; without it, it waits for the page to come back."""

    type: Literal["bye"] = "bye"


FromPage: TypeAlias = Hello | Offer | Motion | Follow | Settings | Calibrate | Freeze | Record | Playout | Bye


class Chosen(Message):
    """The settings in force."""

    driver: str
    model: str
    mode: str
    gains: GainSettings
    background: str
    badge: bool


class IceServer(Message):
    """Of STUN or TURN; the latter wants ``username`` and ``credential``."""

    urls: tuple[IceUrl, ...]
    username: Key = ""
    credential: Key = ""


class Welcome(Message):
    """Answers ``hello``. ``key`` opens this session's uploads and recordings, ``viewer_key`` its viewers' page.

    ``ice_servers`` are those that the way is to be found by, with ``relay_only`` by nothing but TURN.
    """

    type: Literal["welcome"] = "welcome"
    version: int = VERSION
    key: str = ""
    viewer_key: str = ""
    drivers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    fps: float = 0
    chosen: Chosen | None = None
    most_upload_bytes: int = 0
    consent: str = ""
    ice_servers: tuple[IceServer, ...] = ()
    relay_only: bool = False


class Answer(Message):
    """SDP that answers the offer."""

    type: Literal["answer"] = "answer"
    sdp: str


class Opening(Message):
    """Of the motion that follows, in hexadecimal; again whenever that is of another kind."""

    type: Literal["opening"] = "opening"
    opening: Hex


class State(Message):
    """How the session stands, after each change."""

    type: Literal["state"] = "state"
    chosen: Chosen
    hardware: str
    avatar: str
    hints: tuple[str, ...] = ()
    frozen: bool = False
    recording: bool = False
    busy: bool = False


class Figures(Message):
    """Once a second. Times in ms, medians of the last second; ``bitrate`` in bits a second."""

    type: Literal["figures"] = "figures"
    fps: float
    camera_fps: float
    driver_ms: float
    render_ms: float
    encode_ms: float
    total_ms: float
    dropped: int
    bitrate: int
    receivers: int
    render_size: int


class Recorded(Message):
    """A recording waits to be fetched."""

    type: Literal["recording"] = "recording"
    seconds: float
    size: int


class Problem(Message):
    """Something asked for was not done. ``fatal``: the connection ends."""

    type: Literal["problem"] = "problem"
    problem: str
    remedy: str = ""
    fatal: bool = False


FromServer: TypeAlias = Welcome | Answer | Opening | State | Figures | Recorded | Problem

_FROM_PAGE: TypeAdapter[FromPage] = TypeAdapter(Annotated[FromPage, Field(discriminator="type")])
_FROM_SERVER: TypeAdapter[FromServer] = TypeAdapter(Annotated[FromServer, Field(discriminator="type")])


def decode(text: str) -> FromPage:
    """A message of the page. Raises: ProtocolError."""
    if len(text) > MOST_BYTES or len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ProtocolError(f"a message has more than {MOST_BYTES} bytes", "send less at a time")
    try:
        return _FROM_PAGE.validate_json(text)
    except (ValidationError, UnicodeError) as error:
        raise ProtocolError(_explained(error), "reload the page: it may be of another version") from error


def decode_answer(text: str) -> FromServer:
    """A message of the server, for a client of its own. Raises: ProtocolError."""
    try:
        return _FROM_SERVER.validate_json(text)
    except ValidationError as error:
        raise ProtocolError(f"{_explained(error)}, says the server", "update livehead at both ends") from error


def encode(message: FromPage | FromServer) -> str:
    """JSON text of a message."""
    return message.model_dump_json()


def problem(error: LiveheadError, *, fatal: bool = False) -> Problem:
    """What the page is told of an error: never more than its two sentences."""
    return Problem(problem=error.problem, remedy=error.remedy, fatal=fatal)


def _explained(error: ValidationError | UnicodeError) -> str:
    """One line, in which nothing of the message is repeated."""
    if isinstance(error, UnicodeError):
        return "a message is not text"
    first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return "a message is not JSON"
    if first["type"].startswith("union_tag"):
        return "a message is of no known type"
    place = ".".join(str(part) for part in first["loc"][:3])[:80]
    if first["type"] == "extra_forbidden":
        return f"a message has a key that is not known ({place.partition('.')[0]})"
    return f"a message is wrong at {place}"
