"""``livehead serve``: the studio page and its peers."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.assembly.settings import ice_servers_from_settings, server_token
from livehead.cli_options import add_picture_arguments, add_webrtc_arguments, print_status, settings_from_args
from livehead.config import RunSettings, ServeSettings, load_settings
from livehead.environment import TOKEN_VARIABLE
from livehead.errors import ConfigError
from livehead.server import event_log
from livehead.server.access import EXTENSION_ORIGIN, MIN_TOKEN_LENGTH, AccessPolicy, generate_key
from livehead.server.listening_socket import require_free_port

if TYPE_CHECKING:
    from livehead.assembly.server_avatars import ServerAvatarFactory
    from livehead.server.app import StudioApp
    from livehead.server.session_defaults import EndpointWrappers, SessionLimits

DEFAULT_SIZE = (512, 512)
"""Width and height of the picture, unless --size says otherwise."""

_PASSTHROUGH = "passthrough"
_NEW_TOKEN = "new"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    absent: Any = argparse.SUPPRESS  # so that a default comes from the settings, and --help prints no token
    add, defaults = parser.add_argument, ServeSettings()
    avatar = "photo that is shown until a page brings its own (default: a portrait that ships with livehead)"
    add("--avatar", type=Path, metavar="PHOTO", help=avatar)
    driver = "driver that a page starts with; the page may choose another (default: face, or the model's own)"
    add("--driver", default=absent, metavar="NAME", help=driver)
    _add_address_arguments(parser)
    sessions = f"how many performers there may be at a time (default: {defaults.sessions})"
    add("--sessions", type=int, default=absent, metavar="N", help=sessions)
    viewers = f"how many viewers each performer may have (default: {defaults.viewers})"
    add("--viewers", type=int, default=absent, metavar="N", help=viewers)
    idle = f"seconds after which a session ends that nobody is connected to (default: {defaults.idle_s:g})"
    add("--idle", type=float, dest="idle_s", default=absent, metavar="S", help=idle)
    log_format = f"how the log is written, one line an event (default: {defaults.log_format})"
    add("--log-format", choices=event_log.LOG_FORMATS, default=absent, help=log_format)
    time_code = "copy the camera's time code into the avatar's picture, which bench webrtc measures by"
    add("--time-code", action="store_true", help=time_code)
    width, height = DEFAULT_SIZE
    add_picture_arguments(parser, default_size=f"{width}x{height}", allow_transparent=True)
    add_webrtc_arguments(parser)


def _add_address_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for where the server is reached and who may use it."""
    absent: Any = argparse.SUPPRESS
    add, defaults = parser.add_argument, ServeSettings()
    host = f"address to listen on; beyond this machine a token and TLS are needed (default: {defaults.host})"
    add("--host", default=absent, help=host)
    port = f"port to listen on, where 0 takes a free one (default: {defaults.port})"
    add("--port", type=int, default=absent, help=port)
    token = f"secret that a studio page has to show; 'new' makes one; it can also stand in {TOKEN_VARIABLE}"
    add("--token", default=absent, help=token)
    certificate = "certificate chain (PEM), with which the page is served by https"
    add("--tls-cert", type=Path, default=absent, metavar="FILE", help=certificate)
    add("--tls-key", type=Path, default=absent, metavar="FILE", help="private key of the certificate (PEM)")
    make = "make a certificate for these host names and addresses, write it to --tls-cert and --tls-key, and end"
    add("--make-certificate", nargs="+", metavar="NAME", help=make)
    behind_proxy = "say that a proxy in front of this server does TLS"
    add("--behind-proxy", action="store_true", default=absent, help=behind_proxy)
    origin = "address under which the proxy serves the page, such as https://a.example; may be given several times"
    add("--origin", action="append", dest="origins", default=absent, metavar="URL", help=origin)
    extension = "let the browser extension (plugins/browser) of this machine watch"
    add("--extension", action="store_true", default=absent, help=extension)


def main(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or a termination signal. Everything that was given is checked before a photo is prepared."""
    settings = load_serve_settings(args)
    serve = settings.serve
    if args.make_certificate:
        return write_certificate(args.make_certificate, serve)
    token = resolve_token(serve)
    require_safe_exposure(serve.host, token, tls=serve.tls_cert is not None, behind_proxy=serve.behind_proxy)
    require_free_port(serve.host, serve.port)  # before anything is loaded
    tls = make_tls_context(serve)
    avatar = _check_avatar(args.avatar or serve.avatar, settings, measured=args.time_code)
    from livehead.assembly.server_avatars import ServerAvatarFactory
    from livehead.server.connection_table import ConnectionLimits
    from livehead.server.file_limit import raise_file_limit
    from livehead.server.http_listener import HttpListener
    from livehead.server.reachable_urls import describe_urls, reachable_hosts
    from livehead.server.runtime_folder import open_runtime_folder
    from livehead.server.session_defaults import SessionLimits

    event_log.configure_log_format(serve.log_format)
    notify: Callable[[str], None] = print_status if serve.log_format == "text" else _log_note
    wrappers = None
    if args.time_code:
        settings, wrappers = _measured_endpoints(settings)
    with ExitStack() as stack:
        folder = stack.enter_context(open_runtime_folder())
        avatars = ServerAvatarFactory(settings, avatar, notify=notify)
        limits = SessionLimits(serve.sessions, serve.viewers, serve.idle_s)
        server = make_server(avatars, settings, make_access(serve, token), limits, wrappers, folder)
        files = ConnectionLimits.for_files(raise_file_limit(), behind_proxy=serve.behind_proxy)
        listener = HttpListener(server.build_app(), serve.host, serve.port, tls=tls, limits=files)
        width, height = settings.stream.size
        notify(f"{avatars.default_settings().model} draws {width}x{height}; Ctrl-C ends")
        hosts = reachable_hosts(serve.host, serve.tls_cert)
        for line in describe_urls(hosts, listener.port, tls=tls is not None, token=shown_token(serve, token)):
            notify(line)
        asyncio.run(listener.serve())
    return 0


def _check_avatar(avatar: Path | None, settings: RunSettings, *, measured: bool) -> Path:
    """The photo to show first; looks at it, and at the names in ``settings``, without preparing or loading anything.

    ``measured``: the model may be the one that draws nothing, for ``bench webrtc``.
    Raises: ConfigError, SourceError, WeightsError.
    """
    from livehead.assembly.conr import require_face_model, require_photo
    from livehead.assembly.input_checks import check_model
    from livehead.assembly.live_avatar import resolve_driver_name
    from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO
    from livehead.compositing.background import check_background
    from livehead.perception.avatar_photo import check_avatar_photo
    from livehead.registry import find_driver

    model, precision = settings.model, settings.precision
    require_face_model(model)
    if not (measured and model == _PASSTHROUGH):
        check_model(model, precision)
        name, _, argument = resolve_driver_name(settings.driver, model, precision).partition(":")
        find_driver(name).check(argument)
    check_background(settings.picture.background, allow_transparent=True)
    ice = settings.stream.ice
    if ice.servers or ice.relay_only:
        ice_servers_from_settings(ice)
    photo = avatar or ASTRONAUT_PHOTO
    require_photo(photo)
    check_avatar_photo(photo)
    return photo


def load_serve_settings(args: argparse.Namespace) -> RunSettings:
    """The settings of the command line and of --config, with the server's own picture size unless they give one.

    Raises: ConfigError.
    """
    settings = settings_from_args(args)
    given = "size" in vars(args)
    if not given and args.config:
        file = load_settings(RunSettings, args.config)
        given = "stream" in file.model_fields_set and "size" in file.stream.model_fields_set
    if given:
        return settings
    return settings.model_copy(update={"stream": settings.stream.model_copy(update={"size": DEFAULT_SIZE})})


def resolve_token(serve: ServeSettings, *, on_terminal: bool | None = None) -> str:
    """The token that pages have to show.

    ``on_terminal`` says whether a person reads what is printed, and not a log; None: looks.
    Raises: ConfigError where a new one would have to be told in a log.
    """
    token = server_token(serve)
    if token != _NEW_TOKEN:
        return token
    if on_terminal is None:
        on_terminal = sys.stderr.isatty()
    if serve.log_format != "text" or not on_terminal:
        raise ConfigError(
            "a new token is shown on a terminal only, as no log may hold it", f"set {TOKEN_VARIABLE} to one of your own"
        )
    return generate_key()


def shown_token(serve: ServeSettings, token: str) -> str:
    """The token as the address that is printed shows it: a new one only, of the person's own no more than dots."""
    if not token or serve.log_format != "text":
        return ""
    return token if server_token(serve) == _NEW_TOKEN else "..."


def _log_note(line: str) -> None:
    event_log.log_event("note", text=line)


def write_certificate(names: Sequence[str], serve: ServeSettings) -> int:
    """Make a certificate where no authority would certify the server, and say how to use it and how to trust it.

    Raises: ConfigError.
    """
    from livehead.server.certificate import VALIDITY_DAYS, make_certificate

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
    folder: Path | None = None,
) -> StudioApp:
    """The web application that shows the avatars of ``avatar_factory``, with recordings below ``folder``.

    Raises: ConfigError.
    """
    from livehead.assembly.live_avatar import CONSENT_NOTICE
    from livehead.server.app import StudioApp
    from livehead.server.session_defaults import EndpointWrappers, SessionDefaults
    from livehead.server.session_manager import SessionManager

    stream = settings.stream
    ice = ice_servers_from_settings(stream.ice)
    wrappers = wrappers or EndpointWrappers()
    defaults = SessionDefaults(stream.fps, settings.render_size, limits, wrappers, stream.encoder, ice, folder)
    return StudioApp(SessionManager(avatar_factory, defaults), access, CONSENT_NOTICE)


def _measured_endpoints(settings: RunSettings) -> tuple[RunSettings, EndpointWrappers]:
    """What ``bench webrtc`` puts around the ends of the pipelines, and the settings that are left to the avatars."""
    from livehead.assembly.live_avatar import FALLBACK_MODEL
    from livehead.bench.timecode import TimeCodeCapture, TimeCodeSink
    from livehead.server.session_defaults import EndpointWrappers

    wrappers = EndpointWrappers(capture=TimeCodeCapture, sink=TimeCodeSink)
    if settings.model != _PASSTHROUGH:
        return settings, wrappers
    relaying = replace(wrappers, relay_size=settings.stream.size)
    return settings.model_copy(update={"model": FALLBACK_MODEL}), relaying


def make_access(serve: ServeSettings, token: str) -> AccessPolicy:
    """The rules for who may use the server."""
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
    """The TLS configuration, None without a certificate.

    Raises: ConfigError when certificate and key are not a pair that can be read.
    """
    if serve.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(serve.tls_cert, serve.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {serve.tls_cert} ({error})", "give a PEM certificate and its key") from error
    return context
