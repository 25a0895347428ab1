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
from pathlib import Path
from typing import Any

from livehead.commands.compose import CONSENT
from livehead.commands.options import TOKEN, add_picture_arguments, ice_from, say, settings_from
from livehead.commands.performer import ASTRONAUT
from livehead.commands.players import Players
from livehead.config import RunSettings, ServeSettings, load
from livehead.errors import ConfigError
from livehead.server import journal
from livehead.server.access import EXTENSION, LEAST_TOKEN, Access, new_key
from livehead.server.app import Studio
from livehead.server.certificate import DAYS, make_certificate
from livehead.server.journal import FORMATS
from livehead.server.listener import Listener
from livehead.server.session import Ends, Limits, Terms
from livehead.server.sessions import Sessions

SIZE = (512, 512)
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
    add("--token", default=absent, help=f"what a studio has to show (or in {TOKEN}); 'new' makes one")
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
    add("--log-format", choices=FORMATS, default=absent, help=f"one line an event ({defaults.log_format})")
    add(
        "--time-code",
        action="store_true",
        help="for bench webrtc: copy the camera's time code into the avatar's picture",
    )
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Until Ctrl-C or a termination signal."""
    settings = serve_settings(args)
    serve = settings.serve
    if args.make_certificate:
        return write_certificate(args.make_certificate, serve)
    token = token_from(serve)
    require_safe(serve.host, token, tls=serve.tls_cert is not None, behind_proxy=serve.behind_proxy)
    journal.use(serve.log_format)
    inform: Callable[[str], None] = say if serve.log_format == "text" else _inform
    with ExitStack() as stack:
        guests = stack.enter_context(tempfile.TemporaryDirectory(prefix="livehead-guests-"))
        avatar = args.avatar or serve.avatar or ASTRONAUT
        troupe = Players(settings, avatar, Path(guests), measured=args.time_code, inform=inform)
        limits = Limits(serve.sessions, serve.viewers, serve.idle_s)
        access = access_from(serve, token)
        server = make_server(troupe, settings, access, limits, _coded_ends() if args.time_code else None)
        listener = Listener(server.application(), serve.host, serve.port, tls=tls_from(serve))
        inform(f"{troupe.first_choice().model} draws {settings.stream.size[0]}x{settings.stream.size[1]}; Ctrl-C ends")
        inform(f"open {listener.url(token if serve.log_format == 'text' else '')}")
        asyncio.run(listener.serve())
    return 0


def serve_settings(args: argparse.Namespace) -> RunSettings:
    """Those of the command line and of --config; the picture's size is the server's own unless one of them gives it.

    Raises: ConfigError.
    """
    settings = settings_from(args)
    given = "size" in vars(args)
    if not given and args.config:
        file = load(RunSettings, args.config)
        given = "stream" in file.model_fields_set and "size" in file.stream.model_fields_set
    return (
        settings if given else settings.model_copy(update={"stream": settings.stream.model_copy(update={"size": SIZE})})
    )


def token_from(serve: ServeSettings) -> str:
    """The token that is asked for. Raises: ConfigError where a new one would have to be told in a log."""
    token = serve.token.get_secret_value() or os.environ.get(TOKEN, "")
    if token != "new":
        return token
    if serve.log_format != "text":
        raise ConfigError("a new token cannot be told, as no log may hold it", f"set {TOKEN} to one of your own")
    return new_key()


def _inform(line: str) -> None:
    journal.tell("note", text=line)


def write_certificate(names: Sequence[str], serve: ServeSettings) -> int:
    """For servers that no authority would certify; says how to use it and how to trust it. Raises: ConfigError."""
    chain = serve.tls_cert or Path("livehead-cert.pem")
    key = serve.tls_key or chain.with_name("livehead-key.pem")
    root = chain.with_name("livehead-trust.pem")
    make_certificate(names).write(chain, key, root)
    say(
        f"{chain} and {key} are for the server, for {DAYS} days:\n"
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
    troupe: Players, settings: RunSettings, access: Access, limits: Limits, ends: Ends | None = None
) -> Studio:
    """The application around ``troupe``."""
    stream = settings.stream
    ice = ice_from(stream.ice)
    terms = Terms(stream.fps, settings.render_size, limits, ends or Ends(), stream.encoder, ice)
    return Studio(Sessions(troupe, terms), access, CONSENT)


def _coded_ends() -> Ends:
    from livehead.commands.bench_webrtc import ENDS

    return ENDS


def access_from(serve: ServeSettings, token: str) -> Access:
    """Who may use the server."""
    return Access(token, frozenset(serve.origins), frozenset({EXTENSION} if serve.extension else ()))


def require_safe(host: str, token: str, *, tls: bool, behind_proxy: bool) -> None:
    """Refuse to serve strangers in the clear. Raises: ConfigError."""
    if token and len(token) < LEAST_TOKEN:
        raise ConfigError(f"the token has less than {LEAST_TOKEN} characters", "--token new makes one")
    if _loopback(host) and not behind_proxy:
        return
    if not token:
        raise ConfigError(f"whoever reaches {host} could use this server", "add --token new")
    if not tls and not behind_proxy:
        raise ConfigError(
            f"{host} is reached in the clear, and browsers give cameras to https pages only",
            "add --tls-cert and --tls-key (--make-certificate makes them), or --behind-proxy when a proxy does TLS",
        )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_from(serve: ServeSettings) -> ssl.SSLContext | None:
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
