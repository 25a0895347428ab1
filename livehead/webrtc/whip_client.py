"""The HTTP half of a WHIP client (RFC 9725): it posts an offer, reads the answer, and ends the session by DELETE.

Every exchange has a deadline for the whole of it, redirects included. The token is sent to the address that was given,
and on to where that server redirects, but never unencrypted to another host. Messages about an endpoint name its host
only: the rest of an address may be a secret.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from livehead.environment import WHIP_TOKEN_VARIABLE
from livehead.errors import ConfigError, RejectedError, SinkError
from livehead.http_client import HttpAnswer, is_loopback_host, send_http_request
from livehead.protocol.urls import split_network_url

_SCHEMES = ("http", "https")
_REQUEST_TIMEOUT_S = 5.0
_DELETE_TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 1 << 18
_MAX_REDIRECTS = 4
_REDIRECT_STATUSES = (307, 308)
_PERMANENT_STATUSES = (400, 401, 405, 406, 415, 422)
"""Other statuses may pass: a server answers them while it starts, or while it still holds a session that was lost."""


@dataclass(frozen=True, slots=True)
class WhipAnswer:
    """The server's answer as ``sdp``, and the ``session_url`` whose DELETE ends the session, empty if not given."""

    sdp: str
    session_url: str


class WhipClient:
    """Publishes to the WHIP endpoint ``url`` (http or https) with a bearer ``token``. Raises: ConfigError."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = split_network_url(url, _SCHEMES)
        if parts is None:
            raise ConfigError("a WHIP endpoint is an http or https address", "write --sink whip:https://HOST/PATH")
        if parts.username or parts.password:
            raise ConfigError(
                "a WHIP address holds no password", f"put the token into {WHIP_TOKEN_VARIABLE}, not into the address"
            )
        if not token.isprintable() or not token.isascii():
            raise ConfigError(
                f"{WHIP_TOKEN_VARIABLE} holds what is no token", "copy it again: letters, digits and signs in one line"
            )
        self.name = f"{parts.scheme}://{parts.netloc}"
        """The part of the address that may be shown: scheme, host and port."""
        self.is_loopback = is_loopback_host(parts.hostname or "")
        """Whether the server is this machine."""
        self.sends_token_in_clear = bool(token) and parts.scheme == "http" and not self.is_loopback
        """Whether anybody on the network path can read the token."""
        self._url = parts.geturl()  # with its scheme in lower case
        self._token = token

    async def publish(self, offer: str) -> WhipAnswer:
        """Post ``offer`` (SDP). Raises: SinkError, RejectedError where trying again is of no use."""
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                return await self._publish(offer)
        except OSError as error:  # TimeoutError too
            raise self._connection_error(error) from error

    async def _publish(self, offer: str) -> WhipAnswer:
        url = self._url
        for _ in range(_MAX_REDIRECTS):
            reply = await self._send_request("POST", url, offer.encode(), _REQUEST_TIMEOUT_S)
            if 200 <= reply.status < 300:
                return self._read_answer(reply, url)
            location = _resolve_location(url, reply.headers.get("location"))
            if reply.status not in _REDIRECT_STATUSES or not location:
                raise self._rejection_error(reply.status)
            url = location
        raise SinkError(f"{self.name} sends us on and on", "give the address that it ends at", subject=self.name)

    async def delete_session(self, session_url: str) -> bool:
        """Tell the server that the session is over; False when it did not confirm that."""
        try:
            reply = await self._send_request("DELETE", session_url, None, _DELETE_TIMEOUT_S)
        except OSError:
            return False
        return 200 <= reply.status < 300

    async def _send_request(self, method: str, url: str, body: bytes | None, deadline_s: float) -> HttpAnswer:
        headers = {} if body is None else {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        if self._token and (url.startswith("https:") or _url_origin(url) == _url_origin(self._url)):
            headers["Authorization"] = f"Bearer {self._token}"
        return await send_http_request(
            method, url, deadline_s=deadline_s, headers=headers, content=body, max_bytes=_MAX_ANSWER_BYTES + 1
        )

    def _read_answer(self, reply: HttpAnswer, url: str) -> WhipAnswer:
        sdp = reply.body
        if not sdp.startswith(b"v=0") or len(sdp) > _MAX_ANSWER_BYTES:
            raise RejectedError(f"{self.name} is no WHIP endpoint", "check the address after whip:", subject=self.name)
        return WhipAnswer(sdp.decode("utf-8", "replace"), _resolve_location(url, reply.headers.get("location")))

    def _rejection_error(self, status: int) -> SinkError:
        if status in (401, 403) and not self._token:
            problem, remedy = "wants a token", f"put the server's bearer token into {WHIP_TOKEN_VARIABLE}"
        elif status in (401, 403):
            problem, remedy = "refuses the token", f"renew {WHIP_TOKEN_VARIABLE}; or another publisher is there already"
        elif status in (404, 410):
            problem, remedy = "knows no such stream", "check the address after whip:, or make the stream there first"
        elif status == 409:
            problem, remedy = "has another publisher there", "end that one, or choose another address"
        elif status in (400, 406, 415, 422):
            problem, remedy = "does not take our offer", "let it take H.264 or VP8, and Opus"
        elif status == 429 or status >= 500:
            problem, remedy = "is overloaded or out of order", "try again later, or look into its log"
        else:
            problem, remedy = "is no WHIP endpoint", "check the address after whip:"
        kind = RejectedError if status in _PERMANENT_STATUSES else SinkError
        return kind(f"{self.name} {problem} (status {status})", remedy, subject=self.name)

    def _connection_error(self, reason: OSError) -> SinkError:
        if isinstance(reason, socket.gaierror):
            problem, remedy = "there is no host of that name", "check the address after whip:"
        elif isinstance(reason, ssl.SSLCertVerificationError):
            problem = f"its certificate is not trusted ({reason.verify_message})"
            remedy = "use the name in the certificate; SSL_CERT_FILE=CA.pem makes an authority of your own trusted"
        elif isinstance(reason, ssl.SSLError):
            problem, remedy = "it does not speak TLS there", "check the port, or write http:"
        elif isinstance(reason, ConnectionRefusedError):
            problem, remedy = "nothing listens there", "start the server, or check the port"
        elif isinstance(reason, TimeoutError):
            problem, remedy = (
                f"no answer in {_REQUEST_TIMEOUT_S:.0f} s",
                "check the address, the network and its firewall",
            )
        else:
            problem, remedy = f"no answer ({type(reason).__name__})", "check the address and the network"
        return SinkError(f"cannot publish to {self.name}, {problem}", remedy, subject=self.name)


def _resolve_location(url: str, location: str | None) -> str:
    """The absolute address that ``location`` in an answer of ``url`` means; empty when it is no address."""
    parts = split_network_url(urljoin(url, location), _SCHEMES) if location else None
    return parts.geturl() if parts is not None else ""


def _url_origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
