"""Routes for what a page gives its session and takes from it: the photo, the background, the recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from livehead.clock import now_ns
from livehead.errors import LiveheadError, ProtocolError, SessionError
from livehead.frames import Image
from livehead.server.access import RateLimiter
from livehead.server.avatar_switcher import AvatarSwitcher
from livehead.server.http_requests import (
    RequestAuthenticator,
    bearer_token,
    client_address,
    error_response,
    read_body,
    session_error_response,
)
from livehead.server.image_sandbox import MAX_UPLOAD_BYTES, SandboxedImageDecoder
from livehead.server.session import Session
from livehead.server.session_manager import SessionManager

_MAX_UPLOADS, _UPLOAD_PERIOD_S = 12, 60.0  # from one address


class UploadRoutes:
    """Handles uploads and downloads of the session whose key is in ``Authorization``."""

    def __init__(self, sessions: SessionManager, authenticator: RequestAuthenticator) -> None:
        self._sessions = sessions
        self._authenticator = authenticator
        self._image_decoder = SandboxedImageDecoder()
        self._upload_rate = RateLimiter(_MAX_UPLOADS, _UPLOAD_PERIOD_S)

    def routes(self) -> list[Route]:
        """The routes, to be added to the application."""
        return [
            Route("/photo", self.upload_photo, methods=["PUT"]),
            Route("/backdrop", self.upload_backdrop, methods=["PUT"]),
            Route("/recording", self.download_recording),
        ]

    async def upload_photo(self, request: Request) -> Response:
        """Animate the photo in the body."""
        return await self._receive_image(request, AvatarSwitcher.set_portrait)

    async def upload_backdrop(self, request: Request) -> Response:
        """Show the picture in the body behind the avatar."""
        return await self._receive_image(request, AvatarSwitcher.set_backdrop)

    async def _receive_image(
        self, request: Request, apply: Callable[[AvatarSwitcher, Image], Awaitable[None]]
    ) -> Response:
        session = self._find_session(request)
        if session is None:
            return self._authenticator.reject(request)
        if not self._upload_rate.try_acquire(client_address(request), now_ns()):
            return session_error_response(
                SessionError("there are too many uploads at once", "wait a minute", status=429)
            )
        try:
            data = await read_body(request, MAX_UPLOAD_BYTES)
            await apply(session.avatar_switcher, await self._image_decoder.decode(data))
        except SessionError as error:
            return session_error_response(error)
        except ProtocolError as error:
            return error_response(error, 413)
        except LiveheadError as error:
            return error_response(error, 422)
        portrait = session.avatar_settings.portrait
        return JSONResponse({"avatar": portrait.name, "hints": list(portrait.hints)})

    async def download_recording(self, request: Request) -> Response:
        """Answer with the newest recording that is whole."""
        session = self._find_session(request)
        if session is None:
            return self._authenticator.reject(request)
        if session.recorder.finished_path is None:
            return session_error_response(SessionError("nothing has been recorded yet", "record first", status=404))
        return FileResponse(session.recorder.finished_path, media_type="video/mp4", filename="avatar.mp4")

    def _find_session(self, request: Request) -> Session | None:
        return self._sessions.find_by_key(bearer_token(request.headers))
