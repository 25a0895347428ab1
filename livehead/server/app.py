"""The web application: the pages, their WebSocket, and what operations ask; uploads and WHIP are in modules beside it.

Every answer carries strict headers (``security_middleware.py``). Pages are read once, at the start: no part of a
request ever becomes a path. Keys and tokens come in ``Authorization`` or in messages, never in an address, so no log
can hold them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib import resources

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from livehead import __version__
from livehead.server.access import AccessPolicy, RateLimiter
from livehead.server.event_log import RejectionLog
from livehead.server.http_requests import RequestAuthenticator
from livehead.server.security_middleware import SecurityMiddleware
from livehead.server.session_manager import SessionManager
from livehead.server.signaling import SignalingConnection
from livehead.server.upload_routes import UploadRoutes
from livehead.server.whip_routes import WhipRoutes

_MAX_AUTH_FAILURES, _AUTH_FAILURE_PERIOD_S = 10, 60.0  # of one address
_CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGES = {"/": "index.html", "/watch": "watch.html"}


class StudioApp:
    """Builds the application that serves ``sessions``, which is entered and left with it.

    ``consent`` is what the page asks a performer to agree to before the camera is opened.
    """

    def __init__(self, sessions: SessionManager, access: AccessPolicy, consent: str) -> None:
        self.sessions = sessions
        self._access = access
        self._consent = consent
        self._auth_failures = RateLimiter(_MAX_AUTH_FAILURES, _AUTH_FAILURE_PERIOD_S)
        self._authenticator = RequestAuthenticator(access, self._auth_failures)
        self._rejections = RejectionLog()
        self._static_files = _load_static_files()

    def build_app(self) -> ASGIApp:
        """The ASGI application, for a server such as uvicorn."""
        routes = [
            *(Route(path, self.serve_page) for path in self._static_files),
            WebSocketRoute("/signal", self.handle_signaling),
            *UploadRoutes(self.sessions, self._authenticator).routes(),
            *WhipRoutes(self.sessions, self._authenticator).routes(),
            Route("/health", self.report_health),
            Route("/metrics", self.report_metrics),
        ]
        return SecurityMiddleware(Starlette(routes=routes, lifespan=self._lifespan), self._access, self._rejections)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self.sessions:
            yield

    async def serve_page(self, request: Request) -> Response:
        """Answer with a page, or with a script, style sheet or picture that belongs to one."""
        body, content_type = self._static_files[request.url.path]
        return Response(body, media_type=content_type)

    async def handle_signaling(self, socket: WebSocket) -> None:
        """Converse with a page until either side ends it."""
        await SignalingConnection(
            socket, self.sessions, self._access, self._auth_failures, self._consent, rejections=self._rejections
        ).run()

    async def report_health(self, request: Request) -> Response:
        """Answer that the server works; this needs no token."""
        return JSONResponse({"status": "ok", "version": __version__, "sessions": len(self.sessions)})

    async def report_metrics(self, request: Request) -> Response:
        """Answer with the server's figures in Prometheus' text format."""
        if not self._authenticator.has_valid_token(request):
            return self._authenticator.reject(request)
        return Response(self.sessions.metrics.render(list(self.sessions)), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _load_static_files() -> dict[str, tuple[bytes, str]]:
    """Everything that is served as it is: content and content type by path."""
    folder = resources.files("livehead.server") / "static"
    files = {}
    for entry in folder.iterdir():
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in _CONTENT_TYPES:
            files[f"/static/{entry.name}"] = (entry.read_bytes(), _CONTENT_TYPES[suffix])
    for path, name in _PAGES.items():
        files[path] = files[f"/static/{name}"]
    return files
