"""One photo and a live face or voice become a talking avatar, in real time.

What a program that embeds livehead needs: ``load_avatar`` and ``LoadedAvatar``; ``Pipeline`` with captures and sinks of
one's own (``Capture``, ``Sink``, ``EndOfStream``); the frames; the errors. ``docs/embedding.md`` has three examples.
Each name is imported when it is first used, so that ``import livehead`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from livehead.animator import Animator
    from livehead.assembly.embedding import LoadedAvatar, load_avatar
    from livehead.errors import (
        CaptureError,
        ConfigError,
        DeviceError,
        LiveheadError,
        NoFaceError,
        SinkError,
        SourceError,
        WeightsError,
    )
    from livehead.frames import AudioFrame, VideoFrame
    from livehead.interfaces import Capture, Driver, DriverInputs, EndOfStream, Renderer, Sink
    from livehead.pipeline import Pipeline

_MODULES = {
    "livehead.animator": ("Animator",),
    "livehead.assembly.embedding": ("LoadedAvatar", "load_avatar"),
    "livehead.errors": (
        "CaptureError",
        "ConfigError",
        "DeviceError",
        "LiveheadError",
        "NoFaceError",
        "SinkError",
        "SourceError",
        "WeightsError",
    ),
    "livehead.frames": ("AudioFrame", "VideoFrame"),
    "livehead.interfaces": ("Capture", "Driver", "DriverInputs", "EndOfStream", "Renderer", "Sink"),
    "livehead.pipeline": ("Pipeline",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Animator",
    "AudioFrame",
    "Capture",
    "CaptureError",
    "ConfigError",
    "DeviceError",
    "Driver",
    "DriverInputs",
    "EndOfStream",
    "LiveheadError",
    "LoadedAvatar",
    "NoFaceError",
    "Pipeline",
    "Renderer",
    "Sink",
    "SinkError",
    "SourceError",
    "VideoFrame",
    "WeightsError",
    "__version__",
    "load_avatar",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'livehead' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
