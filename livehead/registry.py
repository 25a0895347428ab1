"""Captures, drivers, renderers and sinks by name, found as entry points, so that plugins stand beside livehead's own.

An entry point of the groups ``livehead.captures``, ``livehead.drivers``, ``livehead.renderers`` and ``livehead.sinks``
names one of the factory records below. A record says what its part needs before anything is made: whether a driver
looks at a camera, which motion a renderer takes, whether an argument makes sense. A plain callable is accepted in place
of a record and counts as one without any special need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from livehead.config import CameraSettings, StreamSettings
from livehead.errors import ConfigError, did_you_mean
from livehead.interfaces import Capture, Driver, Renderer, Sink

FactoryGroup = Literal["captures", "drivers", "renderers", "sinks"]


def accept_any_argument(argument: str) -> None:
    """Accept any text as a factory's argument."""


def never_transparent(argument: str) -> bool:
    """Tell of a sink that it shows no transparency, whatever its argument."""
    return False


def reject_argument(argument: str) -> None:
    """Refuse an argument for a factory that takes none. Raises: ConfigError."""
    if argument:
        raise ConfigError(f"{argument!r} is one word too many", "leave out what stands after the colon")


@dataclass(frozen=True, slots=True)
class CaptureFactory:
    """How a capture is made from ``--capture NAME:ARGUMENT``.

    ``create(argument, camera)`` gives a capture that is not opened yet. ``check(argument)`` raises ConfigError for an
    argument that cannot work; it opens no device and imports nothing heavy.
    """

    create: Callable[[str, CameraSettings], Capture]
    check: Callable[[str], None] = accept_any_argument


@dataclass(frozen=True, slots=True)
class SinkFactory:
    """How a sink is made from ``--sink NAME:ARGUMENT``; ``create(argument, stream)`` and ``check`` as for captures.

    ``takes_alpha(argument)`` tells whether it keeps the transparency of pictures without a background; other sinks get
    them too, and draw them over black or show the photo's own background.
    """

    create: Callable[[str, StreamSettings], Sink]
    check: Callable[[str], None] = accept_any_argument
    takes_alpha: Callable[[str], bool] = never_transparent


@dataclass(frozen=True, slots=True)
class DriverFactory:
    """How a driver is made from ``--driver NAME:ARGUMENT``, and what it needs.

    ``create(argument, portrait)`` gives the driver for the avatar's portrait. ``motion_set`` names the points that it
    estimates, "" where only the driver itself knows. ``starts_neutral`` means that its first motion is a neutral face
    already, as that of a voice or of idling is, so that nothing has to be calibrated.
    """

    create: Callable[[str, Any], Driver[Any]]
    check: Callable[[str], None] = reject_argument
    motion_set: str = ""
    needs_camera: bool = True
    needs_audio: bool = False
    starts_neutral: bool = False


@dataclass(frozen=True, slots=True)
class RendererFactory:
    """How a renderer is made from ``--model NAME``, and what it takes.

    ``create(size, alpha=, precision=, threads=)`` gives the renderer. ``motion_sets`` names the sets of points that it
    takes. ``avatar_source`` says what becomes an avatar: a photo of a face, or a folder with a character sheet.
    ``own_driver`` is the driver that estimates the points of this very model, "" where any driver of its sets will do.
    ``has_debug_panels`` means that it can show what led to a picture (``DebugPanelRenderer``).
    ``check(precision)`` raises ConfigError or WeightsError for what this machine lacks, without loading a network.
    """

    create: Callable[..., Renderer[Any, Any, Any]]
    check: Callable[[str], None] = accept_any_argument
    motion_sets: frozenset[str] = frozenset()
    avatar_source: Literal["photo", "character-sheet"] = "photo"
    own_driver: str = ""
    has_debug_panels: bool = False


FactoryT = TypeVar("FactoryT", CaptureFactory, SinkFactory, DriverFactory, RendererFactory)


def list_names(group: FactoryGroup) -> list[str]:
    """Return every registered name of ``group``, sorted."""
    return sorted({point.name for point in entry_points(group=f"livehead.{group}")})


def find_capture(name: str) -> CaptureFactory:
    """Return the factory of the capture ``name``. Raises: ConfigError naming the nearest known name."""
    return _find_factory("captures", name, CaptureFactory)


def find_sink(name: str) -> SinkFactory:
    """Return the factory of the sink ``name``. Raises: ConfigError naming the nearest known name."""
    return _find_factory("sinks", name, SinkFactory)


def find_driver(name: str) -> DriverFactory:
    """Return the factory of the driver ``name``. Raises: ConfigError naming the nearest known name."""
    return _find_factory("drivers", name, DriverFactory)


def find_renderer(name: str) -> RendererFactory:
    """Return the factory of the renderer ``name``. Raises: ConfigError naming the nearest known name."""
    return _find_factory("renderers", name, RendererFactory)


def _find_factory(group: FactoryGroup, name: str, kind: type[FactoryT]) -> FactoryT:
    for point in entry_points(group=f"livehead.{group}"):
        if point.name == name:
            found = point.load()
            return found if isinstance(found, kind) else kind(create=found, check=accept_any_argument)
    raise ConfigError(f"there is no {group[:-1]} {name!r}", did_you_mean(name, list_names(group)), subject=name)
