"""``livehead serve``: the studio page and its peers."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from livehead.assembly.live_avatar import CONSENT_NOTICE, FALLBACK_MODEL
from livehead.assembly.server_avatars import ServerAvatarFactory
from livehead.assembly.settings import ice_servers_from_settings
from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO
from livehead.cli_options import add_picture_arguments, print_status, settings_from_args
from livehead.config import RunSettings, ServeSettings, load_settings
from livehead.environment import TOKEN_VARIABLE
from livehead.errors import ConfigError
from livehead.server import event_log
from livehead.server.access import EXTENSION_ORIGIN, MIN_TOKEN_LENGTH, AccessPolicy, generate_key
from livehead.server.app import StudioApp
from livehead.server.certificate import VALIDITY_DAYS, make_certificate
from livehead.server.event_log import LOG_FORMATS
from livehead.server.http_listener import HttpListener
from livehead.server.session import EndpointWrappers, SessionDefaults, SessionLimits
from livehead.server.session_manager import SessionManager

DEFAULT_SIZE = (512, 512)
"""Of the picture, unless --size says otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    absent: Any = argparse.SUPPRESS  # so that a default comes from the settings, and --help prints no token
    add, defaults = parser.add_argument, ServeSettings()
    add(
        "--avatar",
        type=Path,
        metavar="PHOTO",
        help="shown until a page brings its own; a bundled portrait if not given",
    )
    add("--driver", default=absent, metavar="NAME", help="face at first; a page may choose another")
    add(
        "--host",
        default=absent,
        help=f"address to listen on ({defaults.host}); beyond this machine a token and TLS are needed",
    )
    add("--port", type=int, default=absent, help=f"port to listen on ({defaults.port}); 0 takes a free one")
    add("--token", default=absent, help=f"what a studio has to show (or in {TOKEN_VARIABLE}); 'new' makes one")
    add("--tls-cert", type=Path, default=absent, metavar="FILE", help="certificate (PEM): the page is served by https")
    add("--tls-key", type=Path, default=absent, metavar="FILE", help="its private key (PEM)")
    add(
        "--make-certificate",
        nargs="+",
        metavar="NAME",
        help="make one for these host names and addresses, write it to --tls-cert and --tls-key, and end",
    )
    add("--behind-proxy", action="store_true", default=absent, help="a proxy before this server does TLS")
    add(
        "--origin",
        action="append",
        dest="origins",
        default=absent,
        metavar="URL",
        help="the proxy's own address, as https://a.example",
    )
    add(
        "--extension",
        action="store_true",
        default=absent,
        help="let the browser extension (plugins/browser) of this machine watch",
    )
    add("--sessions", type=int, default=absent, metavar="N", help=f"performers at a time ({defaults.sessions})")
    add("--viewers", type=int, default=absent, metavar="N", help=f"viewers of each performer ({defaults.viewers})")
    add(
        "--idle",
        type=float,
        dest="idle_s",
        default=absent,
        metavar="S",
        help=f"a session nobody is connected to ends after so long ({defaults.idle_s:g} s)",
    )
    add("--log-format", choices=LOG_FORMATS, default=absent, help=f"one line an event ({defaults.log_format})")
    add(
        "--time-code",
        action="store_true",
        help="for bench webrtc: copy the camera's time code into the avatar's picture",
    )
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Until Ctrl-C or a termination signal."""
    settings = load_serve_settings(args)
    serve = settings.serve
    if args.make_certificate:
        return write_certificate(args.make_certificate, serve)
    token = resolve_token(serve)
    require_safe_exposure(serve.host, token, tls=serve.tls_cert is not None, behind_proxy=serve.behind_proxy)
    event_log.configure_log_format(serve.log_format)
    inform: Callable[[str], None] = print_status if serve.log_format == "text" else _log_note
    wrappers = None
    if args.time_code:
        settings, wrappers = _measured_endpoints(settings)
    with ExitStack() as stack:
        guests = stack.enter_context(tempfile.TemporaryDirectory(prefix="livehead-guests-"))
        avatar = args.avatar or serve.avatar or ASTRONAUT_PHOTO
        troupe = ServerAvatarFactory(settings, avatar, Path(guests), notify=inform)
        limits = SessionLimits(serve.sessions, serve.viewers, serve.idle_s)
        access = make_access(serve, token)
        server = make_server(troupe, settings, access, limits, wrappers)
        listener = HttpListener(server.build_app(), serve.host, serve.port, tls=make_tls_context(serve))
        inform(
            f"{troupe.default_settings().model} draws {settings.stream.size[0]}x{settings.stream.size[1]}; Ctrl-C ends"
        )
        inform(f"open {listener.url(token if serve.log_format == 'text' else '')}")
        asyncio.run(listener.serve())
    return 0


def load_serve_settings(args: argparse.Namespace) -> RunSettings:
    """Those of the command line and of --config; the picture's size is the server's own unless one of them gives it.

    Raises: ConfigError.
    """
    settings = settings_from_args(args)
    given = "size" in vars(args)
    if not given and args.config:
        file = load_settings(RunSettings, args.config)
        given = "stream" in file.model_fields_set and "size" in file.stream.model_fields_set
    return (
        settings
        if given
        else settings.model_copy(update={"stream": settings.stream.model_copy(update={"size": DEFAULT_SIZE})})
    )


def resolve_token(serve: ServeSettings) -> str:
    """The token that is asked for. Raises: ConfigError where a new one would have to be told in a log."""
    token = serve.token.get_secret_value() or os.environ.get(TOKEN_VARIABLE, "")
    if token != "new":
        return token
    if serve.log_format != "text":
        raise ConfigError(
            "a new token cannot be told, as no log may hold it", f"set {TOKEN_VARIABLE} to one of your own"
        )
    return generate_key()


def _log_note(line: str) -> None:
    event_log.log_event("note", text=line)


def write_certificate(names: Sequence[str], serve: ServeSettings) -> int:
    """For servers that no authority would certify; says how to use it and how to trust it. Raises: ConfigError."""
    chain = serve.tls_cert or Path("livehead-cert.pem")
    key = serve.tls_key or chain.with_name("livehead-key.pem")
    root = chain.with_name("livehead-trust.pem")
    make_certificate(names).write_pem_files(chain, key, root)
    print_status(
        f"{chain} and {key} are for the server, for {VALIDITY_DAYS} days:\n"
        f"  livehead serve --host 0.0.0.0 --token new --tls-cert {chain} --tls-key {key}\n"
        f"{root} is for every device that is to trust it (its own key was never kept, so nothing else can be signed):\n"
        f"  Linux    certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n livehead -i {root}\n"
        f"  macOS    security add-trusted-cert -r trustRoot -k ~/Library/Keychains/login.keychain-db {root}\n"
        f"  Windows  certutil -user -addstore Root {root}\n"
        "  phones   send it there, open it, and trust it in the settings for certificates\n"
        f"  run --render-at   SSL_CERT_FILE={root}"
    )
    return 0


def make_server(
    avatar_factory: ServerAvatarFactory,
    settings: RunSettings,
    access: AccessPolicy,
    limits: SessionLimits,
    wrappers: EndpointWrappers | None = None,
) -> StudioApp:
    """The application around ``troupe``."""
    stream = settings.stream
    ice = ice_servers_from_settings(stream.ice)
    terms = SessionDefaults(
        stream.fps, settings.render_size, limits, wrappers or EndpointWrappers(), stream.encoder, ice
    )
    return StudioApp(SessionManager(avatar_factory, terms), access, CONSENT_NOTICE)


def _measured_endpoints(settings: RunSettings) -> tuple[RunSettings, EndpointWrappers]:
    """What ``bench webrtc`` puts before the ends of the pipelines, and the settings that are left to the avatars."""
    from livehead.bench.timecode import TimeCodeCapture, TimeCodeSink
    from livehead.bench.webrtc import PASSTHROUGH

    wrappers = EndpointWrappers(capture=TimeCodeCapture, sink=TimeCodeSink)

    if settings.model != PASSTHROUGH:
        return settings, wrappers
    relaying = replace(wrappers, relay_size=settings.stream.size)
    return settings.model_copy(update={"model": FALLBACK_MODEL}), relaying


def make_access(serve: ServeSettings, token: str) -> AccessPolicy:
    """Who may use the server."""
    return AccessPolicy(token, frozenset(serve.origins), frozenset({EXTENSION_ORIGIN} if serve.extension else ()))


def require_safe_exposure(host: str, token: str, *, tls: bool, behind_proxy: bool) -> None:
    """Refuse to serve strangers in the clear. Raises: ConfigError."""
    if token and len(token) < MIN_TOKEN_LENGTH:
        raise ConfigError(f"the token has less than {MIN_TOKEN_LENGTH} characters", "--token new makes one")
    if _is_loopback(host) and not behind_proxy:
        return
    if not token:
        raise ConfigError(f"whoever reaches {host} could use this server", "add --token new")
    if not tls and not behind_proxy:
        raise ConfigError(
            f"{host} is reached in the clear, and browsers give cameras to https pages only",
            "add --tls-cert and --tls-key (--make-certificate makes them), or --behind-proxy when a proxy does TLS",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_tls_context(serve: ServeSettings) -> ssl.SSLContext | None:
    """Raises: ConfigError when certificate and key are not a pair that can be read."""
    if serve.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(serve.tls_cert, serve.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {serve.tls_cert} ({error})", "give a PEM certificate and its key") from error
    return context
