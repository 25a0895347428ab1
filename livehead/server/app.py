"""The web application: the pages, their socket, uploads and recordings, and what operations ask.

Every answer carries the strict headers below. Pages are read once, at the start: no part of a request ever becomes a
path. Keys and tokens come in ``Authorization`` or in messages, never in an address, so no log can hold them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from livehead import __version__
from livehead.clock import now_ns
from livehead.errors import ConfigError, LiveheadError, ProtocolError
from livehead.server import protocol
from livehead.server.access import Access, Rate
from livehead.server.conversation import Conversation
from livehead.server.decoding import MOST_BYTES, Decoder
from livehead.server.exposition import exposition
from livehead.server.journal import Refusals
from livehead.server.session import Session
from livehead.server.sessions import Sessions
from livehead.server.whip import Broadcasts

log = logging.getLogger(__name__)

_UPLOAD_S = 30.0
_WRONG_KEYS, _FORGET_S = 10, 60.0
_UPLOADS, _UPLOADS_S = 12, 60.0
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PLACES = ("", "watch", "static", "signal", "photo", "backdrop", "recording", "whip", "whep", "health", "metrics")
_PAGES = {"/": "index.html", "/watch": "watch.html"}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Studio:
    """The handlers. ``sessions`` is entered and left with the application."""

    def __init__(self, sessions: Sessions, access: Access, consent: str) -> None:
        self.sessions = sessions
        self.access = access
        self.strangers = Rate(_WRONG_KEYS, _FORGET_S)
        self.broadcasts = Broadcasts(sessions)
        self.refusals = Refusals()
        self._consent = consent
        self._decoder = Decoder()
        self._uploads = Rate(_UPLOADS, _UPLOADS_S)
        self._files = _read_pages()

    def application(self) -> ASGIApp:
        """To be served."""
        pages = [Route(path, self.page) for path in self._files]
        routes = [
            *pages,
            WebSocketRoute("/signal", self.signal),
            Route("/photo", self.photo, methods=["PUT"]),
            Route("/backdrop", self.backdrop, methods=["PUT"]),
            Route("/recording", self.recording),
            Route("/whip/{name}", self.whip, methods=["POST", "DELETE"]),
            Route("/whep", self.watch, methods=["POST", "OPTIONS"]),
            Route("/whep/{name}", self.whep, methods=["POST", "DELETE", "OPTIONS"]),
            Route("/health", self.health),
            Route("/metrics", self.metrics),
        ]
        return _Guard(Starlette(routes=routes, lifespan=self._lifespan), self.access, self.refusals)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.sessions:
            yield

    async def page(self, request: Request) -> Response:
        """A page or what it is made of."""
        body, kind = self._files[request.url.path]
        return Response(body, media_type=kind)

    async def signal(self, socket: WebSocket) -> None:
        """The page's conversation."""
        await Conversation(
            socket, self.sessions, self.access, self.strangers, self._consent, refusals=self.refusals
        ).run()

    async def photo(self, request: Request) -> Response:
        """Animate the photo in the body."""
        return await self._take(request, Session.set_portrait)

    async def backdrop(self, request: Request) -> Response:
        """Show the picture in the body behind the avatar."""
        return await self._take(request, Session.set_backdrop)

    async def _take(self, request: Request, use: Callable[..., Awaitable[None]]) -> Response:
        session = self._session(request)
        if session is None:
            return self._stranger(request)
        if not self._uploads.allows(_address(request), now_ns()):
            return _refusal(ConfigError("there are too many uploads at once", "wait a minute"), 429)
        try:
            data = await _body(request)
            await use(session, await self._decoder.decode(data))
        except ProtocolError as error:
            return _refusal(error, 413)
        except LiveheadError as error:
            return _refusal(error, 422)
        return JSONResponse({"avatar": session.choice.portrait.name, "hints": list(session.choice.portrait.hints)})

    async def recording(self, request: Request) -> Response:
        """The newest recording."""
        session = self._session(request)
        if session is None:
            return self._stranger(request)
        if session.recorder.finished is None:
            return _refusal(ConfigError("nothing has been recorded yet", "record first"), 404)
        return FileResponse(session.recorder.finished, media_type="video/mp4", filename="avatar.mp4")

    async def whip(self, request: Request) -> Response:
        """Take a camera (POST an offer), or let it go (DELETE)."""
        if not self._token(request):
            return self._stranger(request)
        return await self._media(request, self.broadcasts.publish, self.broadcasts.unpublish)

    async def whep(self, request: Request) -> Response:
        """Show the avatar of a camera that ``whip`` takes (POST an offer), or end that (DELETE)."""
        if request.method == "OPTIONS":
            return _offers_welcome()
        shown = self.sessions.by_viewer_key(_bearer(request.headers)) if request.method == "DELETE" else None
        if shown is None and not self._token(request):
            return self._stranger(request)
        return await self._media(request, self.broadcasts.watch, lambda place: self.broadcasts.leave(place, shown))

    async def watch(self, request: Request) -> Response:
        """Show the avatar of the session whose viewer key is in ``Authorization``, as its link does (POST an offer)."""
        if request.method == "OPTIONS":
            return _offers_welcome()
        session = self.sessions.by_viewer_key(_bearer(request.headers))
        if session is None:
            return self._stranger(request)

        async def begin(name: str, offer: str) -> tuple[str, str]:
            return await self.broadcasts.watch_session(session, offer)

        return await self._media(request, begin, self.broadcasts.leave)

    async def _media(
        self,
        request: Request,
        begin: Callable[[str, str], Awaitable[tuple[str, str]]],
        end: Callable[[str], Awaitable[bool]],
    ) -> Response:
        name = request.path_params.get("name", "")
        if request.method == "DELETE":
            return Response(status_code=200 if await end(name) else 404)
        if request.headers.get("content-type", "").partition(";")[0] != "application/sdp":
            return _refusal(ProtocolError("the body has to be application/sdp"), 415)
        try:
            offer = (await _body(request, protocol.MOST_BYTES)).decode("utf-8")
            answer, place = await begin(name, offer)
        except UnicodeDecodeError:
            return _refusal(ProtocolError("the offer is not text"), 400)
        except ProtocolError as error:
            return _refusal(error, 400)
        except ConfigError as error:
            return _refusal(error, 503)
        where = f"/{request.url.path.split('/')[1]}/{place}"
        created = Response(answer, 201, media_type="application/sdp", headers={"location": where})
        for link in self.sessions.ice.links():
            created.headers.append("link", link)
        return created

    async def health(self, request: Request) -> Response:
        """Whether the server works."""
        return JSONResponse({"status": "ok", "version": __version__, "sessions": len(self.sessions)})

    async def metrics(self, request: Request) -> Response:
        """Figures in Prometheus' text format."""
        if not self._token(request):
            return self._stranger(request)
        return PlainTextResponse(exposition(self.sessions), media_type="text/plain; version=0.0.4")

    def _session(self, request: Request) -> Session | None:
        return self.sessions.by_key(_bearer(request.headers))

    def _token(self, request: Request) -> bool:
        if self.access.token and self.strangers.exhausted(_address(request), now_ns()):
            return False
        return self.access.token_right(_bearer(request.headers))

    def _stranger(self, request: Request) -> Response:
        if not self.strangers.allows(_address(request), now_ns()):
            return _refusal(ConfigError("there were too many wrong keys from this address", "wait a minute"), 429)
        refusal = _refusal(ConfigError("the key is wrong", "send it as Authorization: Bearer KEY"), 401)
        refusal.headers["www-authenticate"] = "Bearer"
        return refusal


class _Guard:
    """In front of everything: Host and Origin on the way in, the strict headers on the way out; notes refusals."""

    def __init__(self, app: ASGIApp, access: Access, refusals: Refusals) -> None:
        self._app = app
        self._access = access
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")

        client, asked = scope["client"], _asked(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(HEADERS)
                if message["status"] >= 400:
                    self._refusals.tell(client[0] if client else "", asked, message["status"])
            await send(message)

        if self._access.host_right(host) and self._access.origin_right(origin, host, scope["path"]):
            await self._app(scope, receive, send_with_headers)
            return
        error = ConfigError("this page may not talk to this server", "open the address that livehead serve printed")
        if scope["type"] == "websocket":
            self._refusals.tell(client[0] if client else "", asked, error)
            await send({"type": "websocket.close", "code": 4403})
            return
        await _refusal(error, 403)(scope, receive, send_with_headers)


def _asked(scope: Scope) -> str:
    """What was asked for, in words of ours: a stranger's own might be anything."""
    place = str(scope["path"]).partition("/")[2].partition("/")[0]
    return f"/{place}" if place in _PLACES else "another address"


def _read_pages() -> dict[str, tuple[bytes, str]]:
    """Everything that is served as it is, by its address."""
    folder = resources.files("livehead.server") / "static"
    files = {}
    for entry in folder.iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _KINDS:
            files[f"/static/{entry.name}"] = (entry.read_bytes(), _KINDS[suffix])
    for address, name in _PAGES.items():
        files[address] = files[f"/static/{name}"]
    return files


async def _body(request: Request, most: int = MOST_BYTES) -> bytes:
    """The body, read no further than ``most`` bytes. Raises: ProtocolError."""
    too_big = ProtocolError(f"the upload has more than {most / 1e6:.0f} MB", "save a smaller copy")
    if int(request.headers.get("content-length", "0") or 0) > most:
        raise too_big
    body = bytearray()
    try:
        async with asyncio.timeout(_UPLOAD_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_big
    except (TimeoutError, ClientDisconnect) as error:
        raise ProtocolError("the upload did not arrive in time", "try again") from error
    return bytes(body)


def _offers_welcome() -> Response:
    """Tells whoever asks first, as WHIP and WHEP clients may, what to POST; getting here took the right Origin."""
    return Response(status_code=204, headers={"accept-post": "application/sdp"})


def _bearer(headers: Headers) -> str:
    kind, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _refusal(error: LiveheadError, status: int) -> JSONResponse:
    return JSONResponse({"problem": error.problem, "remedy": error.remedy}, status)
