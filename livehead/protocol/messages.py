"""The messages of page and server over the WebSocket: typed, as JSON text. This module does no I/O.

    page   -> server   hello, offer, motion, follow, settings, calibrate, freeze, record, playout, bye
    server -> page     welcome, answer, opening, state, figures, recording, problem

A message that is unknown, malformed or too big raises ProtocolError; the server answers it with ``problem`` and goes
on. After ``motion`` (to the server) and ``opening`` (to a viewer), binary messages are packets of
``livehead.protocol.motion_packets``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from livehead.config import GainSettings
from livehead.errors import LiveheadError, ProtocolError

MAX_MESSAGE_BYTES = 64 * 1024
"""The largest message; an offer of a browser with all its codecs takes about 8 kB."""

PROTOCOL_VERSION = 1

ShortName = Annotated[str, Field(min_length=1, max_length=64)]
SecretKey = Annotated[str, Field(max_length=256)]
SdpText = Annotated[str, Field(min_length=1, max_length=48 * 1024)]
IceUrl = Annotated[str, Field(pattern=r"^(stun|turns?):[^\s?]+(\?transport=(udp|tcp))?$", max_length=300)]
HexMotionHeader = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){16,80}$")]
FaceNumber = Annotated[int, Field(ge=1, le=100)]
SHARE_RANGE = (-1.0, 2.0)
"""Of a photo's width or height: a face may be cut off by its edge."""
Share = Annotated[float, Field(ge=SHARE_RANGE[0], le=SHARE_RANGE[1])]
FaceBox: TypeAlias = tuple[Share, Share, Share, Share]
"""Left, top, width and height of a face, as shares of the width and height of its photo."""

BackgroundName = Annotated[str, Field(pattern=r"^(keep|blur|none|image|#[0-9a-fA-F]{6})$")]


class SignalingMessage(BaseModel):
    """The base of all messages: they are frozen, refuse unknown keys and coerce nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class HelloMessage(SignalingMessage):
    """The first message of a page.

    The ``key`` of an earlier ``welcome`` goes on with that session; a viewer's key says which session to watch. With
    ``transparent`` a viewer gets the matte beside the colours, in a picture of twice the width.
    """

    type: Literal["hello"] = "hello"
    role: Literal["studio", "viewer"]
    token: SecretKey = ""
    key: SecretKey = ""
    transparent: bool = False


class OfferMessage(SignalingMessage):
    """The SDP offer of the page's connection, with all candidates in it."""

    type: Literal["offer"] = "offer"
    sdp: SdpText


class StartMotionMessage(SignalingMessage):
    """Announces motion in place of a camera: ``opening`` is its header in hexadecimal (docs/motion-format.md).

    Binary packets of motion follow.
    """

    type: Literal["motion"] = "motion"
    opening: HexMotionHeader


class FollowMotionMessage(SignalingMessage):
    """Asks for motion in place of pictures, for a viewer that draws the avatar: an ``opening`` and packets follow."""

    type: Literal["follow"] = "follow"


class SettingsUpdate(SignalingMessage):
    """The settings to change; those that are None stay. The ``background`` ``image`` is the one uploaded last.

    ``face`` is one of the photo that this page uploaded, counted from the left, where 1 is the first.
    """

    type: Literal["settings"] = "settings"
    driver: ShortName | None = None
    model: ShortName | None = None
    mode: Literal["relative", "absolute"] | None = None
    gains: GainSettings | None = None
    background: BackgroundName | None = None
    badge: bool | None = None
    face: FaceNumber | None = None


class CalibrateMessage(SignalingMessage):
    """Asks the server to look for the performer's neutral face anew."""

    type: Literal["calibrate"] = "calibrate"


class FreezeMessage(SignalingMessage):
    """Asks the server to hold the picture, or to go on."""

    type: Literal["freeze"] = "freeze"
    on: bool


class RecordMessage(SignalingMessage):
    """Asks the server to start or end a recording."""

    type: Literal["record"] = "record"
    on: bool


class PlayoutDelay(SignalingMessage):
    """Reports by how much longer than pictures the page's browser keeps sound back, so that it is sent sooner."""

    type: Literal["playout"] = "playout"
    sound_later_ms: Annotated[float, Field(ge=0, le=1000)]


class ByeMessage(SignalingMessage):
    """Ends the session; without this message it waits for the page to come back."""

    type: Literal["bye"] = "bye"


ClientMessage: TypeAlias = (
    HelloMessage
    | OfferMessage
    | StartMotionMessage
    | FollowMotionMessage
    | SettingsUpdate
    | CalibrateMessage
    | FreezeMessage
    | RecordMessage
    | PlayoutDelay
    | ByeMessage
)


class CurrentSettings(SignalingMessage):
    """The settings in force."""

    driver: str
    model: str
    mode: str
    gains: GainSettings
    background: str
    badge: bool


class IceServer(SignalingMessage):
    """A STUN or TURN server; the latter needs ``username`` and ``credential``."""

    urls: tuple[IceUrl, ...]
    username: SecretKey = ""
    credential: SecretKey = ""


class WelcomeMessage(SignalingMessage):
    """The answer to ``hello``: ``key`` opens this session's uploads and recordings, ``viewer_key`` its viewers' page.

    The page's connection uses ``ice_servers``, and nothing but TURN with ``relay_only``.
    """

    type: Literal["welcome"] = "welcome"
    version: int = PROTOCOL_VERSION
    key: str = ""
    viewer_key: str = ""
    drivers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    fps: float = 0
    chosen: CurrentSettings | None = None
    most_upload_bytes: int = 0
    consent: str = ""
    ice_servers: tuple[IceServer, ...] = ()
    relay_only: bool = False


class AnswerMessage(SignalingMessage):
    """The SDP that answers the offer."""

    type: Literal["answer"] = "answer"
    sdp: str


class MotionHeaderMessage(SignalingMessage):
    """The header of the motion that follows, in hexadecimal; sent again whenever the kind of motion changes."""

    type: Literal["opening"] = "opening"
    opening: HexMotionHeader


class SessionState(SignalingMessage):
    """The state of the session, sent after each change.

    ``faces`` are those of the photo that the page uploaded, from left to right, and ``face`` the number of the one that
    is animated; of the server's own photo none are told.
    """

    type: Literal["state"] = "state"
    chosen: CurrentSettings
    hardware: str
    avatar: str
    hints: tuple[str, ...] = ()
    faces: tuple[FaceBox, ...] = ()
    face: FaceNumber = 1
    frozen: bool = False
    recording: bool = False
    busy: bool = False


class SessionStats(SignalingMessage):
    """The session's figures, sent once a second: times are medians in ms, ``bitrate`` is in bits a second.

    ``face_count``: how many faces the camera shows. ``advice``: what the performer can do about not being seen; empty
    while all is well.
    """

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
    face_count: int = 0
    advice: str = ""


class RecordingReady(SignalingMessage):
    """Says that a recording can be downloaded."""

    type: Literal["recording"] = "recording"
    seconds: float
    size: int


class ProblemMessage(SignalingMessage):
    """Says that a request was not carried out; if it is ``fatal``, the connection ends."""

    type: Literal["problem"] = "problem"
    problem: str
    remedy: str = ""
    fatal: bool = False


ServerMessage: TypeAlias = (
    WelcomeMessage | AnswerMessage | MotionHeaderMessage | SessionState | SessionStats | RecordingReady | ProblemMessage
)

_CLIENT_MESSAGE_ADAPTER: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])
_SERVER_MESSAGE_ADAPTER: TypeAdapter[ServerMessage] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])


def decode_client_message(text: str) -> ClientMessage:
    """Decode a message of a page. Raises: ProtocolError."""
    if len(text) > MAX_MESSAGE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message has more than {MAX_MESSAGE_BYTES} bytes", "send less at a time")
    try:
        return _CLIENT_MESSAGE_ADAPTER.validate_json(text)
    except (ValidationError, UnicodeError) as error:
        raise ProtocolError(_describe_error(error), "reload the page: it may be of another version") from error


def decode_server_message(text: str) -> ServerMessage:
    """Decode a message of the server, for livehead as a client. Raises: ProtocolError."""
    try:
        return _SERVER_MESSAGE_ADAPTER.validate_json(text)
    except ValidationError as error:
        raise ProtocolError(f"{_describe_error(error)}, says the server", "update livehead at both ends") from error


def encode_message(message: ClientMessage | ServerMessage) -> str:
    """The JSON text of a message."""
    return message.model_dump_json()


def to_problem_message(error: LiveheadError, *, fatal: bool = False) -> ProblemMessage:
    """The message that tells a page of an error: its two sentences and nothing more."""
    return ProblemMessage(problem=error.problem, remedy=error.remedy, fatal=fatal)


def _describe_error(error: ValidationError | UnicodeError) -> str:
    """Return what is wrong with a message in one line, which repeats nothing of it."""
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
