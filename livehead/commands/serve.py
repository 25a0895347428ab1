"""``livehead serve``: the studio page and its peers."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import os
import ssl
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from livehead.commands.compose import (
    CONSENT,
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    Company,
    assemble,
    driver_name,
    keeps_up,
    make_driver,
    open_portraits,
    to_gains,
)
from livehead.commands.conr import require_faces
from livehead.commands.options import TOKEN, add_picture_arguments, say, settings_from
from livehead.commands.performer import ASTRONAUT
from livehead.config import GainSettings, PictureSettings, RunSettings
from livehead.errors import ConfigError
from livehead.frames import Image
from livehead.governor import Quality, ladder
from livehead.interfaces import Driver
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.registry import names
from livehead.renderers.store import AvatarStore
from livehead.server.access import LEAST_TOKEN, Access, new_key
from livehead.server.app import Studio
from livehead.server.listener import Listener
from livehead.server.session import Ends, Limits
from livehead.server.sessions import Sessions
from livehead.server.stage import IMAGE, Choice, Stage

SIZE = (512, 512)
"""Of the picture, unless --size says otherwise."""

_OFFERED = ("face", "voice", "face+voice", "idle")  # of the drivers that are installed, those a page can feed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    absent = argparse.SUPPRESS
    add = parser.add_argument
    add(
        "--avatar",
        type=Path,
        metavar="PHOTO",
        help="shown until a page brings its own; a bundled portrait if not given",
    )
    add("--driver", default=absent, metavar="NAME", help="face at first; a page may choose another")
    add("--host", default="127.0.0.1", help="address to listen on; beyond this machine a token and TLS are needed")
    add("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
    # its default is not argparse's, which --help would print
    add("--token", default=absent, help=f"what a studio has to show (or in {TOKEN}); 'new' makes one")
    add("--tls-cert", type=Path, metavar="FILE", help="certificate (PEM): with it the page is served by https")
    add("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    add("--behind-proxy", action="store_true", help="a proxy before this server does TLS")
    add("--origin", action="append", default=[], metavar="URL", help="the proxy's own address, as https://a.example")
    add("--sessions", type=int, default=Limits().sessions, metavar="N", help="performers at a time")
    add("--viewers", type=int, default=Limits().viewers, metavar="N", help="viewers of each performer")
    add(
        "--idle",
        type=float,
        default=Limits().idle_s,
        metavar="S",
        help="a session nobody is connected to ends after so long",
    )
    add(
        "--time-code",
        action="store_true",
        help="for bench webrtc: copy the camera's time code into the avatar's picture",
    )
    add_picture_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Until Ctrl-C or a termination signal."""
    settings = settings_from(args)
    if "size" not in vars(args) and not args.config:
        settings = settings.model_copy(update={"stream": settings.stream.model_copy(update={"size": SIZE})})
    given = vars(args).get("token", os.environ.get(TOKEN, ""))
    token = new_key() if given == "new" else given
    require_safe(args.host, token, tls=args.tls_cert is not None, behind_proxy=args.behind_proxy)
    with ExitStack() as stack:
        guests = stack.enter_context(tempfile.TemporaryDirectory(prefix="livehead-guests-"))
        troupe = Players(settings, args.avatar or ASTRONAUT, Path(guests), measured=args.time_code)
        access, limits = Access(token, frozenset(args.origin)), limits_from(args)
        server = make_server(troupe, settings, access, limits, _coded_ends() if args.time_code else None)
        listener = Listener(server.application(), args.host, args.port, tls=tls_from(args))
        say(f"{troupe.first_choice().model} draws {settings.stream.size[0]}x{settings.stream.size[1]}; Ctrl-C ends")
        say(f"open {listener.url(token)}")
        asyncio.run(listener.serve())
    return 0


def make_server(
    troupe: Players, settings: RunSettings, access: Access, limits: Limits, ends: Ends | None = None
) -> Studio:
    """The application around ``troupe``."""
    sessions = Sessions(troupe, fps=settings.stream.fps, size=settings.render_size, limits=limits, ends=ends or Ends())
    return Studio(sessions, access, CONSENT)


def _coded_ends() -> Ends:
    from livehead.commands.bench_webrtc import ENDS

    return ENDS


def limits_from(args: argparse.Namespace) -> Limits:
    """Raises: ConfigError."""
    if min(args.sessions, args.viewers) < 1 or args.idle <= 0:
        raise ConfigError("--sessions, --viewers and --idle have to be above 0", "leave them out")
    return Limits(args.sessions, args.viewers, args.idle)


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
            "add --tls-cert and --tls-key, or --behind-proxy when a proxy does TLS (docs/security.md)",
        )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_from(args: argparse.Namespace) -> ssl.SSLContext | None:
    """Raises: ConfigError when certificate and key are not a pair that can be read."""
    if args.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(args.tls_cert, args.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {args.tls_cert} ({error})", "give a PEM certificate and its key") from error
    return context


class Playing:
    """A ``Stage``: one company, and the driver that it may hand on to the next."""

    def __init__(self, choice: Choice, company: Company, driver: Driver[Keypoints]) -> None:
        self.choice = choice
        self.company = company
        self.driver = driver
        self.performer = company.animator
        self.hardware = company.hardware

    def set_gains(self, gains: GainSettings) -> None:
        self.choice = replace(self.choice, gains=gains)
        self.company.set_gains(to_gains(gains))

    def recalibrate(self) -> None:
        self.company.recalibrate()

    def close(self, successor: Stage | None) -> None:
        if isinstance(successor, Playing) and successor.driver is self.driver:
            return
        close: Any = getattr(self.driver, "close", None)
        if close is not None:
            close()


class Players:
    """A ``Troupe`` of livehead's own models. Guests' photos are kept in ``folder`` only, which goes with the server."""

    def __init__(self, settings: RunSettings, avatar: Path, folder: Path, *, measured: bool = False) -> None:
        """``measured``: there is a model ``passthrough`` too, which shows what all but the avatar costs."""
        self._measured = measured
        self._settings = settings
        self._guests = AvatarStore(folder)
        self._own = AvatarStore()
        require_faces(settings.model)
        [portrait] = open_portraits([avatar], self._own, say)
        known = names("renderers")
        self.models: tuple[str, ...] = tuple(name for name in (DEFAULT_MODEL, FALLBACK_MODEL) if name in known)
        if settings.model not in ("auto", *self.models):
            self.models = (settings.model, *self.models)
        installed = names("drivers")
        self.drivers: tuple[str, ...] = tuple(name for name in _OFFERED if name in installed)
        driver = driver_name(settings.driver, settings.model, settings.precision)
        if driver not in self.drivers:
            self.drivers = (driver, *self.drivers)
        self._first = Choice(
            portrait=portrait,
            driver=driver,
            model=DEFAULT_MODEL if settings.model == "auto" else settings.model,
            mode=settings.mode,
            gains=settings.gains,
            background=settings.picture.background,
            badge=settings.picture.badge,
        )
        self._waiting: Stage | None = None
        if settings.model == "auto":
            self._waiting = self._quick_enough()
        elif self._first.model in known:
            self._waiting = self._play(self._first)

    def _quick_enough(self) -> Playing:
        """The default model, or the quicker one where it is too slow."""
        playing = self._play(self._first)
        if keeps_up(playing.company, self._settings.stream.fps):
            return playing
        fps = self._settings.stream.fps
        say(f"{DEFAULT_MODEL} is too slow for {fps:g} fps here, so {FALLBACK_MODEL} draws at first")
        self._first = replace(self._first, model=FALLBACK_MODEL)
        return self._play(self._first, playing)

    def first_choice(self) -> Choice:
        return self._first

    def portrait(self, pixels: Image) -> Portrait:
        return self._guests.portrait(pixels, "your photo")

    def stage(self, choice: Choice, previous: Stage | None) -> Stage:
        if self._measured and choice.model == "passthrough":
            from livehead.commands.bench_webrtc import PassThrough

            return PassThrough(choice, self._settings.stream.size)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and choice is self._first:
            return waiting
        return self._play(choice, previous if isinstance(previous, Playing) else None)

    def _play(self, choice: Choice, previous: Playing | None = None) -> Playing:
        driver = calibration = None
        if previous is not None:
            same_performer = previous.choice.feed is choice.feed
            calibration = previous.company.calibration if same_performer else None
            if previous.choice.driver == choice.driver and same_performer:
                driver = previous.driver
        driver = (
            driver
            or choice.feed
            or make_driver(choice.driver, [choice.portrait], choice.model, self._settings.precision)
        )
        shown = choice.background == IMAGE
        picture = PictureSettings(
            fit=self._settings.picture.fit,
            background="keep" if shown else choice.background,
            badge=choice.badge,
        )
        settings = self._settings.model_copy(
            update={"model": choice.model, "mode": choice.mode, "gains": choice.gains, "picture": picture}
        )
        company = assemble(
            settings,
            [choice.portrait],
            driver,
            self._own if choice.portrait is self._first.portrait else self._guests,
            calibration=calibration,
            backdrop=choice.backdrop if shown else None,
        )
        company.warm_up(ladder(Quality(settings.render_size, 1, settings.stream.fps)))
        return Playing(choice, company, driver)
