"""What stands in front of every route: Host and Origin are checked on the way in, strict headers set on the way out."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livehead.errors import SessionError
from livehead.server.access import AccessPolicy
from livehead.server.event_log import RejectionLog
from livehead.server.http_requests import session_error_response

_KNOWN_PATHS = ("", "watch", "static", "signal", "photo", "backdrop", "recording", "whip", "whep", "health", "metrics")
_CLOSE_FORBIDDEN = 4403  # a WebSocket close code of our own, after HTTP's 403

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

TRANSPORT_HEADERS = {"strict-transport-security": "max-age=604800"}
"""Sent by TLS only. It holds for all ports of a name, so for a week, not for the years that a site of its own takes."""


class SecurityMiddleware:
    """Lets requests of allowed hosts and origins through to ``app``, and logs what is rejected, here or behind."""

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
        address, path_label = scope["client"][0] if scope["client"] else "", _path_label(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
                if scope["scheme"] in ("https", "wss"):
                    MutableHeaders(scope=message).update(TRANSPORT_HEADERS)
                if message["status"] >= 400:
                    self._rejections.log_rejection(address, path_label, message["status"])
            await send(message)

        if self._access.is_allowed_host(host) and self._access.is_allowed_origin(origin, host, scope["path"]):
            await self._app(scope, receive, send_with_headers)
            return
        error = SessionError(
            "this page may not talk to this server", "open the address that livehead serve printed", status=403
        )
        if scope["type"] == "websocket":
            self._rejections.log_rejection(address, path_label, error)
            await send({"type": "websocket.close", "code": _CLOSE_FORBIDDEN})
            return
        await session_error_response(error)(scope, receive, send_with_headers)


def _path_label(scope: Scope) -> str:
    """The first part of the path if it is one of ours: a stranger's own words might be anything, and are not logged."""
    first_part = str(scope["path"]).partition("/")[2].partition("/")[0]
    return f"/{first_part}" if first_part in _KNOWN_PATHS else "another address"
