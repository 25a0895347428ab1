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
from livehead.protocol import messages
from livehead.server.access import AccessPolicy, RateLimiter
from livehead.server.event_log import RejectionLog
from livehead.server.image_sandbox import MAX_UPLOAD_BYTES, SandboxedImageDecoder
from livehead.server.prometheus import format_metrics
from livehead.server.session import Session
from livehead.server.session_manager import SessionManager
from livehead.server.signaling import SignalingConnection
from livehead.server.whip_whep import WhipWhepStreams

log = logging.getLogger(__name__)

_UPLOAD_TIMEOUT_S = 30.0
_MAX_AUTH_FAILURES, _AUTH_FAILURE_PERIOD_S = 10, 60.0
_MAX_UPLOADS, _UPLOAD_PERIOD_S = 12, 60.0
_CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KNOWN_PATHS = ("", "watch", "static", "signal", "photo", "backdrop", "recording", "whip", "whep", "health", "metrics")
_PAGES = {"/": "index.html", "/watch": "watch.html"}

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "permissions-policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class StudioApp:
    """The handlers. ``sessions`` is entered and left with the application."""

    def __init__(self, sessions: SessionManager, access: AccessPolicy, consent: str) -> None:
        self.sessions = sessions
        self.access = access
        self.auth_failures = RateLimiter(_MAX_AUTH_FAILURES, _AUTH_FAILURE_PERIOD_S)
        self.streams = WhipWhepStreams(sessions)
        self.rejections = RejectionLog()
        self._consent = consent
        self._image_decoder = SandboxedImageDecoder()
        self._upload_rate = RateLimiter(_MAX_UPLOADS, _UPLOAD_PERIOD_S)
        self._static_files = _load_static_files()

    def build_app(self) -> ASGIApp:
        """To be served."""
        pages = [Route(path, self.serve_page) for path in self._static_files]
        routes = [
            *pages,
            WebSocketRoute("/signal", self.handle_signaling),
            Route("/photo", self.upload_photo, methods=["PUT"]),
            Route("/backdrop", self.upload_backdrop, methods=["PUT"]),
            Route("/recording", self.download_recording),
            Route("/whip/{name}", self.handle_whip, methods=["POST", "DELETE"]),
            Route("/whep", self.handle_viewer_link, methods=["POST", "OPTIONS"]),
            Route("/whep/{name}", self.handle_whep, methods=["POST", "DELETE", "OPTIONS"]),
            Route("/health", self.report_health),
            Route("/metrics", self.report_metrics),
        ]
        return SecurityMiddleware(Starlette(routes=routes, lifespan=self._lifespan), self.access, self.rejections)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.sessions:
            yield

    async def serve_page(self, request: Request) -> Response:
        """A page or what it is made of."""
        body, kind = self._static_files[request.url.path]
        return Response(body, media_type=kind)

    async def handle_signaling(self, socket: WebSocket) -> None:
        """The page's conversation."""
        await SignalingConnection(
            socket, self.sessions, self.access, self.auth_failures, self._consent, rejections=self.rejections
        ).run()

    async def upload_photo(self, request: Request) -> Response:
        """Animate the photo in the body."""
        return await self._receive_image(request, Session.set_portrait)

    async def upload_backdrop(self, request: Request) -> Response:
        """Show the picture in the body behind the avatar."""
        return await self._receive_image(request, Session.set_backdrop)

    async def _receive_image(self, request: Request, apply: Callable[..., Awaitable[None]]) -> Response:
        session = self._find_session(request)
        if session is None:
            return self._unauthorized(request)
        if not self._upload_rate.try_acquire(_client_address(request), now_ns()):
            return _error_response(ConfigError("there are too many uploads at once", "wait a minute"), 429)
        try:
            data = await _read_body(request)
            await apply(session, await self._image_decoder.decode(data))
        except ProtocolError as error:
            return _error_response(error, 413)
        except LiveheadError as error:
            return _error_response(error, 422)
        return JSONResponse(
            {"avatar": session.avatar_settings.portrait.name, "hints": list(session.avatar_settings.portrait.hints)}
        )

    async def download_recording(self, request: Request) -> Response:
        """The newest recording."""
        session = self._find_session(request)
        if session is None:
            return self._unauthorized(request)
        if session.recorder.finished_path is None:
            return _error_response(ConfigError("nothing has been recorded yet", "record first"), 404)
        return FileResponse(session.recorder.finished_path, media_type="video/mp4", filename="avatar.mp4")

    async def handle_whip(self, request: Request) -> Response:
        """Take a camera (POST an offer), or let it go (DELETE)."""
        if not self._has_valid_token(request):
            return self._unauthorized(request)
        return await self._exchange_sdp(request, self.streams.publish_stream, self.streams.unpublish_stream)

    async def handle_whep(self, request: Request) -> Response:
        """Show the avatar of a camera that ``whip`` takes (POST an offer), or end that (DELETE)."""
        if request.method == "OPTIONS":
            return _whip_options()
        shown = self.sessions.find_by_viewer_key(_bearer_token(request.headers)) if request.method == "DELETE" else None
        if shown is None and not self._has_valid_token(request):
            return self._unauthorized(request)
        return await self._exchange_sdp(
            request, self.streams.watch_stream, lambda place: self.streams.remove_viewer(place, shown)
        )

    async def handle_viewer_link(self, request: Request) -> Response:
        """Show the avatar of the session whose viewer key is in ``Authorization``, as its link does (POST an offer)."""
        if request.method == "OPTIONS":
            return _whip_options()
        session = self.sessions.find_by_viewer_key(_bearer_token(request.headers))
        if session is None:
            return self._unauthorized(request)

        async def begin(name: str, offer: str) -> tuple[str, str]:
            return await self.streams.watch_session(session, offer)

        return await self._exchange_sdp(request, begin, self.streams.remove_viewer)

    async def _exchange_sdp(
        self,
        request: Request,
        begin: Callable[[str, str], Awaitable[tuple[str, str]]],
        end: Callable[[str], Awaitable[bool]],
    ) -> Response:
        name = request.path_params.get("name", "")
        if request.method == "DELETE":
            return Response(status_code=200 if await end(name) else 404)
        if request.headers.get("content-type", "").partition(";")[0] != "application/sdp":
            return _error_response(ProtocolError("the body has to be application/sdp"), 415)
        try:
            offer = (await _read_body(request, messages.MAX_MESSAGE_BYTES)).decode("utf-8")
            answer, place = await begin(name, offer)
        except UnicodeDecodeError:
            return _error_response(ProtocolError("the offer is not text"), 400)
        except ProtocolError as error:
            return _error_response(error, 400)
        except ConfigError as error:
            return _error_response(error, 503)
        where = f"/{request.url.path.split('/')[1]}/{place}"
        created = Response(answer, 201, media_type="application/sdp", headers={"location": where})
        for link in self.sessions.ice.link_headers():
            created.headers.append("link", link)
        return created

    async def report_health(self, request: Request) -> Response:
        """Whether the server works."""
        return JSONResponse({"status": "ok", "version": __version__, "sessions": len(self.sessions)})

    async def report_metrics(self, request: Request) -> Response:
        """Figures in Prometheus' text format."""
        if not self._has_valid_token(request):
            return self._unauthorized(request)
        return PlainTextResponse(format_metrics(self.sessions), media_type="text/plain; version=0.0.4")

    def _find_session(self, request: Request) -> Session | None:
        return self.sessions.find_by_key(_bearer_token(request.headers))

    def _has_valid_token(self, request: Request) -> bool:
        if self.access.token and self.auth_failures.is_exhausted(_client_address(request), now_ns()):
            return False
        return self.access.is_valid_token(_bearer_token(request.headers))

    def _unauthorized(self, request: Request) -> Response:
        if not self.auth_failures.try_acquire(_client_address(request), now_ns()):
            return _error_response(
                ConfigError("there were too many wrong keys from this address", "wait a minute"), 429
            )
        refusal = _error_response(ConfigError("the key is wrong", "send it as Authorization: Bearer KEY"), 401)
        refusal.headers["www-authenticate"] = "Bearer"
        return refusal


class SecurityMiddleware:
    """In front of everything: Host and Origin on the way in, the strict headers on the way out; notes refusals."""

    def __init__(self, app: ASGIApp, access: AccessPolicy, rejections: RejectionLog) -> None:
        self._app = app
        self._access = access
        self._rejections = rejections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")

        client, asked = scope["client"], _path_label(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
                if message["status"] >= 400:
                    self._rejections.log_rejection(client[0] if client else "", asked, message["status"])
            await send(message)

        if self._access.is_allowed_host(host) and self._access.is_allowed_origin(origin, host, scope["path"]):
            await self._app(scope, receive, send_with_headers)
            return
        error = ConfigError("this page may not talk to this server", "open the address that livehead serve printed")
        if scope["type"] == "websocket":
            self._rejections.log_rejection(client[0] if client else "", asked, error)
            await send({"type": "websocket.close", "code": 4403})
            return
        await _error_response(error, 403)(scope, receive, send_with_headers)


def _path_label(scope: Scope) -> str:
    """What was asked for, in words of ours: a stranger's own might be anything."""
    place = str(scope["path"]).partition("/")[2].partition("/")[0]
    return f"/{place}" if place in _KNOWN_PATHS else "another address"


def _load_static_files() -> dict[str, tuple[bytes, str]]:
    """Everything that is served as it is, by its address."""
    folder = resources.files("livehead.server") / "static"
    files = {}
    for entry in folder.iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _CONTENT_TYPES:
            files[f"/static/{entry.name}"] = (entry.read_bytes(), _CONTENT_TYPES[suffix])
    for address, name in _PAGES.items():
        files[address] = files[f"/static/{name}"]
    return files


async def _read_body(request: Request, max_bytes: int = MAX_UPLOAD_BYTES) -> bytes:
    """The body, read no further than ``most`` bytes. Raises: ProtocolError."""
    too_big = ProtocolError(f"the upload has more than {max_bytes / 1e6:.0f} MB", "save a smaller copy")
    if int(request.headers.get("content-length", "0") or 0) > max_bytes:
        raise too_big
    body = bytearray()
    try:
        async with asyncio.timeout(_UPLOAD_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_big
    except (TimeoutError, ClientDisconnect) as error:
        raise ProtocolError("the upload did not arrive in time", "try again") from error
    return bytes(body)


def _whip_options() -> Response:
    """Tells whoever asks first, as WHIP and WHEP clients may, what to POST; getting here took the right Origin."""
    return Response(status_code=204, headers={"accept-post": "application/sdp"})


def _bearer_token(headers: Headers) -> str:
    kind, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def _client_address(request: Request) -> str:
    return request.client.host if request.client else ""


def _error_response(error: LiveheadError, status: int) -> JSONResponse:
    return JSONResponse({"problem": error.problem, "remedy": error.remedy}, status)
