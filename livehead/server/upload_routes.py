"""Routes for what a page gives its session and takes from it: the photo, the background, the recording."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from livehead.clock import now_ns
from livehead.config import FaceChoice, parse_face_choice
from livehead.errors import LiveheadError, ProtocolError, SessionError
from livehead.perception.photo_formats import encode_jpeg
from livehead.server.access import RateLimiter
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

_PREVIEW_SIDE = 960  # pixels of the longer side of the picture on which a page shows the faces
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
            Route("/photo", self.download_photo),
            Route("/backdrop", self.upload_backdrop, methods=["PUT"]),
            Route("/recording", self.download_recording),
        ]

    async def upload_photo(self, request: Request) -> Response:
        """Animate the photo in the body: its largest face, or the one that the query's ``face`` names."""

        async def animate(session: Session, data: bytes) -> None:
            face = _read_face_choice(request)
            frames = await self._image_decoder.decode_frames(data)
            await session.avatar_switcher.set_portrait(frames, face)

        return await self._receive_image(request, animate)

    async def download_photo(self, request: Request) -> Response:
        """Answer with a small picture of the photo that the page gave, as upright as its faces are told."""
        session = self._find_session(request)
        if session is None:
            return self._authenticator.reject(request)
        portrait = session.avatar_switcher.page_portrait
        if portrait is None:
            return session_error_response(SessionError("this page gave no photo yet", "choose one first", status=404))
        return Response(
            await asyncio.to_thread(encode_jpeg, portrait.photo, _PREVIEW_SIDE, 85), media_type="image/jpeg"
        )

    async def upload_backdrop(self, request: Request) -> Response:
        """Show the picture in the body behind the avatar."""

        async def show(session: Session, data: bytes) -> None:
            await session.avatar_switcher.set_backdrop(await self._image_decoder.decode(data))

        return await self._receive_image(request, show)

    async def _receive_image(self, request: Request, apply: Callable[[Session, bytes], Awaitable[None]]) -> Response:
        session = self._find_session(request)
        if session is None:
            return self._authenticator.reject(request)
        if not self._upload_rate.try_acquire(client_address(request), now_ns()):
            return session_error_response(
                SessionError("there are too many uploads at once", "wait a minute", status=429)
            )
        try:
            await apply(session, await read_body(request, MAX_UPLOAD_BYTES))
        except SessionError as error:
            return session_error_response(error)
        except ProtocolError as error:
            return error_response(error, 413)
        except LiveheadError as error:
            return error_response(error, 422)
        state = session.get_state()
        return JSONResponse(state.model_dump(mode="json", include={"avatar", "hints", "faces", "face"}))

    async def download_recording(self, request: Request) -> Response:
        """Answer with the newest recording that is whole."""
        session = self._find_session(request)
        if session is None:
            return self._authenticator.reject(request)
        if session.recorder.finished_path is None:
            return session_error_response(SessionError("nothing has been recorded yet", "record first", status=404))
        return FileResponse(session.recorder.finished_path, media_type="video/mp4", filename="avatar.mp4")

    def _find_session(self, request: Request) -> Session | None:
        session = self._sessions.find_by_key(bearer_token(request.headers))
        if session is not None:
            self._authenticator.trust(request)
        return session


def _read_face_choice(request: Request) -> FaceChoice:
    """The face that the request's query names, by default the largest. Raises: ConfigError."""
    return parse_face_choice(request.query_params.get("face", "largest"), "the request")
