"""STUN and TURN servers, for peers that do not reach each other on their own (RFC 8445, RFC 8656).

Without any, nothing outside is asked and nothing is waited for: right for one machine, a LAN, and a server whose ports
are open. A browser behind a strict firewall needs a TURN server, through which the media then go, encrypted as ever.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aioice import Connection, TransportPolicy
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCRtpTransceiver
from aiortc.rtcicetransport import connection_kwargs, parse_stun_turn_uri
from aiortc.sdp import MediaDescription

from livehead.environment import TURN_PASSWORD_VARIABLE, TURN_SECRET_VARIABLE
from livehead.errors import ConfigError
from livehead.webrtc.remote_candidates import patch_remote_candidates

LOOPBACK = "127.0.0.1"

_CREDENTIAL_TTL_S = 24 * 3600  # how long a password that is made from a secret is valid
_GATHER_TIMEOUT_S = 1.0  # the connection does without a server that has not answered by then


@dataclass(frozen=True, slots=True)
class IceServers:
    """The servers that ICE asks: ``stun:HOST[:PORT]``, ``turn:HOST[:PORT][?transport=udp|tcp]``, ``turns:HOST[:PORT]``.

    A TURN server needs ``username`` and ``password``; or ``secret``, which it shares with us, and from which a name and
    a password for a day are made each time (coturn's ``use-auth-secret``; draft-uberti-behave-turn-rest-00). With
    ``relay_only`` media go through TURN alone, and neither side learns the other's address.

    Raises: ConfigError.
    """

    urls: tuple[str, ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    relay_only: bool = False

    def __post_init__(self) -> None:
        for url in self.urls:
            _check_ice_url(url)
        if self.turn_urls and not self.secret and not (self.username and self.password):
            remedy = f"give --ice-username and set {TURN_PASSWORD_VARIABLE}, or set {TURN_SECRET_VARIABLE}"
            raise ConfigError("a TURN server wants a name and a password", remedy)
        if self.relay_only and not self.turn_urls:
            raise ConfigError("there is no TURN server to relay anything", "name one: --ice-server turn:HOST")

    @property
    def turn_urls(self) -> tuple[str, ...]:
        """The TURN servers among ``urls``."""
        return tuple(url for url in self.urls if url.startswith("turn"))

    def credentials(self) -> tuple[str, str]:
        """The user name and the password for the TURN servers."""
        if not self.secret:
            return self.username, self.password
        username = f"{int(time.time()) + _CREDENTIAL_TTL_S}:{self.username or 'livehead'}"
        digest = hmac.digest(self.secret.encode(), username.encode(), hashlib.sha1)
        return username, base64.b64encode(digest).decode()

    def rtc_configuration(self) -> RTCConfiguration:
        """The configuration of a peer connection with bundled media; aiortc takes the first server of each kind."""
        policy = RTCIceTransportPolicy.RELAY if self.relay_only else RTCIceTransportPolicy.ALL
        return RTCConfiguration(
            iceServers=self._rtc_servers(), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE, iceTransportPolicy=policy
        )

    def create_connection(self, *, ice_controlling: bool) -> Connection:
        """A separate ICE connection that asks the same servers."""
        policy = TransportPolicy.RELAY if self.relay_only else TransportPolicy.ALL
        servers = connection_kwargs(self._rtc_servers())
        return Connection(ice_controlling=ice_controlling, transport_policy=policy, **servers)

    def link_headers(self) -> list[str]:
        """The values of ``Link`` headers that tell a WHIP or WHEP client these servers (RFC 9725, section 4.6)."""
        username, password = self.credentials()
        login = f'; username="{username}"; credential="{password}"; credential-type="password"'
        return [f'<{url}>; rel="ice-server"{login if url in self.turn_urls else ""}' for url in self.urls]

    def _rtc_servers(self) -> list[RTCIceServer]:
        username, password = self.credentials()
        stun = [RTCIceServer(url) for url in self.urls if url not in self.turn_urls]
        return stun + [RTCIceServer(url, username=username, credential=password) for url in self.turn_urls]


NO_ICE_SERVERS = IceServers()


def patch_transceiver_gathering(transceiver: RTCRtpTransceiver) -> None:
    """Apply ``patch_candidate_gathering`` to the ICE connection of a transceiver; called before it gathers."""
    patch_candidate_gathering(transceiver.receiver.transport.transport.iceGatherer._connection)


async def add_remote_candidates(transceiver: RTCRtpTransceiver, media: Sequence[MediaDescription]) -> None:
    """Give a bundled connection the candidates of every section of a foreign description, before it is set.

    Browsers name them in the first section, and aiortc looks into the last alone: it would wait to be called.
    """
    transport = transceiver.receiver.transport.transport
    for part in media:
        for candidate in part.ice_candidates:
            await transport.addRemoteCandidate(candidate)


def patch_candidate_gathering(connection: Any) -> None:
    """Let one ICE connection listen on the loopback address too, not wait long for servers, and call no names.

    It is called before the connection gathers candidates. What it takes of the other side's addresses is decided in
    ``webrtc/remote_candidates.py``. aiortc leaves loopback out, but a machine may have no other
    address and be its own peer. Servers are not asked from there: no answer would come. ``tests/webrtc/test_ice.py``
    fails when the names change that are aiortc's own.
    """
    patch_remote_candidates(connection)
    gather = connection.get_component_candidates

    async def gather_more(component: int, addresses: list[str], **rest: Any) -> list[Any]:
        found = await gather(component=component, addresses=addresses, timeout=_GATHER_TIMEOUT_S)
        if connection._transport_policy is TransportPolicy.RELAY:
            return list(found)
        servers = connection.stun_server, connection.turn_server
        connection.stun_server = connection.turn_server = None
        try:
            return [*found, *await gather(component=component, addresses=[LOOPBACK])]
        finally:
            connection.stun_server, connection.turn_server = servers

    connection.get_component_candidates = gather_more


def _check_ice_url(url: str) -> None:
    try:
        parsed = parse_stun_turn_uri(url)
    except ValueError:
        parsed = {"scheme": ""}
    known = {("stun", None), ("turn", "udp"), ("turn", "tcp"), ("turns", "tcp")}
    if (parsed["scheme"], parsed.get("transport")) not in known or not url.isprintable() or set(url) & set(' "<>'):
        remedy = "write stun:HOST[:PORT], turn:HOST[:PORT][?transport=tcp] or turns:HOST[:PORT]"
        raise ConfigError(f"{url[:80]!r} is no STUN or TURN server", remedy)
