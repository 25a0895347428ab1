"""What the routes of the server share: reading requests, checking their token, and answering with an error."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from livehead.clock import now_ns
from livehead.errors import LiveheadError, ProtocolError, SessionError
from livehead.server.access import AccessPolicy, RateLimiter, too_many_wrong_keys_error
from livehead.server.client_connection import trust_connection

_BODY_TIMEOUT_S = 30.0
WRONG_KEY_PAUSE_S = 0.5
"""Seconds after which a wrong key is answered when there were too many."""


class RequestAuthenticator:
    """Checks the bearer token of requests, and slows addresses down that show wrong ones.

    A right token is always let in: behind a proxy all clients have one address, and its owner must not be locked out by
    others' guesses. ``auth_failures`` is shared with the WebSocket, so that a guess counts wherever it is made.
    """

    def __init__(self, access: AccessPolicy, auth_failures: RateLimiter) -> None:
        self._access = access
        self._auth_failures = auth_failures

    def has_valid_token(self, request: Request) -> bool:
        """Tell whether the request shows the server's token; if so, its connection gives way to no stranger's."""
        if not self._access.is_valid_token(bearer_token(request.headers)):
            return False
        if self._access.token:
            self.trust(request)
        return True

    def trust(self, request: Request, *, viewer: bool = False) -> None:
        """Note that the request has shown the key of a session, or the key of its ``viewer``."""
        trust_connection(request.scope.get("state", {}), viewer=viewer)

    def is_viewer_origin(self, request: Request) -> bool:
        """Tell whether the request comes from a browser extension that watches for the pages of its browser."""
        return request.headers.get("origin") in self._access.viewer_origins

    def reject(self, request: Request) -> Response:
        """Count a wrong key or token and answer it: 401, or 429 after a pause when there were too many."""
        if not self._auth_failures.try_acquire(client_address(request), now_ns()):
            error = too_many_wrong_keys_error()
            return _DelayedResponse({"problem": error.problem, "remedy": error.remedy}, error.status)
        error = SessionError("the key is wrong", "send it as Authorization: Bearer KEY", status=401)
        response = session_error_response(error)
        response.headers["www-authenticate"] = "Bearer"
        return response


class _DelayedResponse(JSONResponse):
    """Answers after a pause, so that whoever guesses on one connection makes two guesses a second."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(WRONG_KEY_PAUSE_S)
        await super().__call__(scope, receive, send)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The request's body. Raises: ProtocolError when it has more than ``max_bytes`` or does not arrive in time."""
    too_big = ProtocolError(f"the upload has more than {max_bytes / 1e6:.0f} MB", "save a smaller copy")
    if int(request.headers.get("content-length", "0") or 0) > max_bytes:
        raise too_big
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_big
    except (TimeoutError, ClientDisconnect) as error:
        raise ProtocolError("the upload did not arrive in time", "try again") from error
    return bytes(body)


def bearer_token(headers: Headers) -> str:
    """The token of an ``Authorization: Bearer`` header (RFC 6750, section 2.1), empty when there is none."""
    kind, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def client_address(request: Request) -> str:
    """The address that the request comes from, empty when the server does not know it."""
    return request.client.host if request.client else ""


def error_response(error: LiveheadError, status: int) -> JSONResponse:
    """An error's two sentences as JSON, with that HTTP status."""
    return JSONResponse({"problem": error.problem, "remedy": error.remedy}, status)


def session_error_response(error: SessionError) -> JSONResponse:
    """A SessionError as JSON, with its own HTTP status."""
    return error_response(error, error.status)
