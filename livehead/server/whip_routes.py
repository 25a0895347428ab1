"""Routes of WHIP (RFC 9725) and WHEP: a camera comes in, an avatar goes out, each by one POST of an offer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livehead.errors import LiveheadError, ProtocolError, SessionError
from livehead.protocol.messages import MAX_MESSAGE_BYTES
from livehead.server.http_requests import (
    RequestAuthenticator,
    bearer_token,
    error_response,
    read_body,
    session_error_response,
)
from livehead.server.session_manager import SessionManager
from livehead.server.whip_whep import SdpAnswer, WhipWhepStreams
from livehead.webrtc.peer import ALL_KINDS, MediaKind

KINDS_HEADER = "livehead-kinds"
"""The header that names the kinds of media which a viewer may be sent."""


class WhipRoutes:
    """Handles the requests of publishers and viewers that come without the studio page."""

    def __init__(self, sessions: SessionManager, authenticator: RequestAuthenticator) -> None:
        self._sessions = sessions
        self._authenticator = authenticator
        self._streams = WhipWhepStreams(sessions)

    def routes(self) -> list[Route]:
        """The routes, to be added to the application."""
        return [
            Route("/whip", self.handle_publisher, methods=["OPTIONS"]),
            Route("/whip/{name}", self.handle_publisher, methods=["POST", "DELETE", "OPTIONS"]),
            Route("/whep", self.handle_viewer_link, methods=["POST", "OPTIONS"]),
            Route("/whep/{name}", self.handle_viewer, methods=["POST", "DELETE", "OPTIONS"]),
        ]

    async def handle_publisher(self, request: Request) -> Response:
        """Take a camera, a voice or both (POST an offer), or let them go (DELETE)."""
        if request.method == "OPTIONS":
            return self._answer_options(request, self._authenticator.has_valid_token(request))
        if not self._authenticator.has_valid_token(request):
            return self._authenticator.reject(request)
        return await self._exchange_sdp(request, self._streams.publish_stream, self._streams.unpublish_stream)

    async def handle_viewer(self, request: Request) -> Response:
        """Show the avatar of a camera that a publisher sends (POST an offer), or end that (DELETE)."""
        if request.method == "OPTIONS":
            return self._answer_options(request, self._authenticator.has_valid_token(request))
        own_session = None
        if request.method == "DELETE":
            own_session = self._sessions.find_by_viewer_key(bearer_token(request.headers))
        if own_session is None and not self._authenticator.has_valid_token(request):
            return self._authenticator.reject(request)

        async def remove(resource_id: str) -> bool:
            return await self._streams.remove_viewer(resource_id, own_session)

        async def watch(name: str, offer: str) -> SdpAnswer:
            return await self._streams.watch_stream(name, offer, self._sent_kinds(request))

        return await self._exchange_sdp(request, watch, remove)

    async def handle_viewer_link(self, request: Request) -> Response:
        """Show the avatar of the session whose viewer key is in ``Authorization``, as its link does (POST an offer)."""
        session = self._sessions.find_by_viewer_key(bearer_token(request.headers))
        if request.method == "OPTIONS":
            return self._answer_options(request, session is not None)
        if session is None:
            return self._authenticator.reject(request)
        self._authenticator.trust(request, viewer=True)

        async def watch(name: str, offer: str) -> SdpAnswer:
            return await self._streams.watch_session(session, offer, self._sent_kinds(request))

        return await self._exchange_sdp(request, watch, self._streams.remove_viewer)

    def _sent_kinds(self, request: Request) -> frozenset[MediaKind]:
        """The kinds of media that a viewer may be sent: all, or those that ``livehead-kinds`` names.

        An extension that watches for pages, whose offers these are, has to say what the page may have.
        Raises: ProtocolError when it does not, or names another kind.
        """
        header = request.headers.get(KINDS_HEADER)
        if header is None and not self._authenticator.is_viewer_origin(request):
            return ALL_KINDS
        named = {kind.strip() for kind in (header or "").split(",")}
        if not named <= ALL_KINDS:
            raise ProtocolError(f"{KINDS_HEADER} names audio, video or both", "load the extension of this version anew")
        return frozenset(kind for kind in ALL_KINDS if kind in named)

    async def _exchange_sdp(
        self,
        request: Request,
        begin: Callable[[str, str], Awaitable[SdpAnswer]],
        end: Callable[[str], Awaitable[bool]],
    ) -> Response:
        name = request.path_params.get("name", "")
        if request.method == "DELETE":
            return Response(status_code=200 if await end(name) else 404)
        if request.headers.get("content-type", "").partition(";")[0] != "application/sdp":
            return error_response(ProtocolError("the body has to be application/sdp"), 415)
        try:
            offer = (await read_body(request, MAX_MESSAGE_BYTES)).decode("utf-8")
            answer = await begin(name, offer)
        except UnicodeDecodeError:
            return error_response(ProtocolError("the offer is not text"), 400)
        except SessionError as error:
            return session_error_response(error)
        except ProtocolError as error:
            return error_response(error, 400)
        except LiveheadError as error:  # the avatar that the server was started with cannot be built
            return error_response(error, 503)
        location = f"/{request.url.path.split('/')[1]}/{answer.resource_id}"
        created = Response(answer.sdp, 201, media_type="application/sdp", headers={"location": location})
        self._add_ice_links(created)
        return created

    def _answer_options(self, request: Request, authorized: bool) -> Response:
        """Say what to POST to a client that asks first, and which ICE servers to use if it may (RFC 9725, section 4.6).

        No page of another site is told anything: it came with the right Origin, or not as far as here. A wrong key is
        refused and counted, as it would be a guess.
        """
        if not authorized and bearer_token(request.headers):
            return self._authenticator.reject(request)
        response = Response(status_code=204, headers={"accept-post": "application/sdp"})
        if authorized:
            self._add_ice_links(response)
        return response

    def _add_ice_links(self, response: Response) -> None:
        """Name the STUN and TURN servers, with a password for whoever was let in."""
        for link in self._sessions.ice.link_headers():
            response.headers.append("link", link)
