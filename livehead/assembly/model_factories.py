"""Livehead's own drivers and renderers as factory records; pyproject.toml names them as entry points.

Each record states what its part needs (a camera, sound, a set of points, a checkpoint), and its ``check`` looks at the
argument without loading a network. What a factory creates is imported only when it is created.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from livehead.errors import ConfigError
from livehead.interfaces import Driver, Renderer
from livehead.motion.body import BODY25
from livehead.motion.dense_pose import DENSE_POSE
from livehead.motion.keypoints import MESH478
from livehead.registry import DriverFactory, RendererFactory, accept_any_argument
from livehead.threads import set_network_threads

if TYPE_CHECKING:
    from livehead.drivers.voice import VoiceDriver
    from livehead.models.engine import Precision
    from livehead.perception.portrait import Portrait


PLAY_ONCE = "once:"
"""What stands before the file of ``motion:`` for motion that does not begin again at its end."""


def _create_face_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    from livehead.drivers.face import FaceDriver

    return FaceDriver()


def _create_body_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    from livehead.drivers.body import BodyDriver

    return BodyDriver()


def _create_idle_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    from livehead.drivers.idle import IdleDriver

    return IdleDriver(portrait.motion)


def create_voice_driver(portrait: Portrait) -> VoiceDriver:
    """The voice driver of a portrait, with the bundled model. Raises: WeightsError."""
    from livehead.drivers.voice import VoiceDriver
    from livehead.models.voice.build import load_voice_model
    from livehead.perception.voice_activity import VoiceActivityDetector

    return VoiceDriver(portrait.motion, load_voice_model(), VoiceActivityDetector())


def _create_voice_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    return create_voice_driver(portrait)


def _create_face_voice_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    from livehead.drivers.face import FaceDriver
    from livehead.drivers.face_voice import FaceVoiceDriver

    return FaceVoiceDriver(FaceDriver(), create_voice_driver(portrait))


def _create_motion_file_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    from livehead.drivers.replay import ReplayDriver
    from livehead.protocol.motion_file import load_motion

    path = argument.removeprefix(PLAY_ONCE)
    return ReplayDriver(load_motion(path), once=path != argument)


def _check_motion_file(argument: str) -> None:
    if not argument:
        raise ConfigError("the motion driver needs a file", "write --driver motion:FILE")
    path = argument.removeprefix(PLAY_ONCE)
    if not argument.startswith(("http://", "https://")) and not Path(path).is_file():
        raise ConfigError(
            f"there is no motion file {path}",
            "record one with: livehead run --record-motion FILE",
            subject=path,
        )


def _create_dagan_driver(argument: str, portrait: Portrait) -> Driver[Any]:
    from livehead.assembly.dagan import dagan_driver

    return dagan_driver(argument)


FACE_DRIVER = DriverFactory(_create_face_driver, motion_set=MESH478)
BODY_DRIVER = DriverFactory(_create_body_driver, motion_set=BODY25)
IDLE_DRIVER = DriverFactory(_create_idle_driver, motion_set=MESH478, needs_camera=False, starts_neutral=True)
VOICE_DRIVER = DriverFactory(
    _create_voice_driver, motion_set=MESH478, needs_camera=False, needs_audio=True, starts_neutral=True
)
FACE_VOICE_DRIVER = DriverFactory(_create_face_voice_driver, motion_set=MESH478, needs_audio=True)
MOTION_DRIVER = DriverFactory(_create_motion_file_driver, _check_motion_file, needs_camera=False)
DAGAN_DRIVER = DriverFactory(_create_dagan_driver, accept_any_argument)


def _create_warp(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    from livehead.renderers.warp.renderer import WarpRenderer

    return WarpRenderer(alpha=alpha)


def _create_compact(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    from livehead.renderers.compact import CompactRenderer

    renderer = CompactRenderer(size, alpha=alpha, precision=cast("Precision", precision), threads=threads)
    set_network_threads(threads, by_openvino=renderer.setting.int8)
    return renderer


def _create_dagan(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    from livehead.assembly.dagan import dagan_renderer

    return dagan_renderer(size, alpha=alpha, precision=precision, threads=threads)


def _create_dagan_spade(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    from livehead.assembly.dagan import dagan_spade_renderer

    return dagan_spade_renderer(size, alpha=alpha, precision=precision, threads=threads)


def _create_conr(size: int, *, alpha: bool, precision: str, threads: int | None) -> Renderer[Any, Any, Any]:
    from livehead.assembly.conr import conr_renderer

    return conr_renderer(size, alpha=alpha, precision=precision, threads=threads)


def _check_int8(precision: str) -> None:
    if precision == "int8" and find_spec("openvino") is None:
        raise ConfigError("int8 needs OpenVINO", "pip install 'livehead[fast-cpu]'", subject=precision)


def _require_checkpoint(name: str, precision: str) -> None:
    from livehead.weights.checkpoint_store import CheckpointStore

    _check_int8(precision)
    CheckpointStore().read_record(name)


def _check_dagan(precision: str) -> None:
    from livehead.assembly.dagan import require_checkpoints

    _check_int8(precision)
    require_checkpoints("dagan")


def _check_dagan_spade(precision: str) -> None:
    from livehead.assembly.dagan import require_checkpoints

    _check_int8(precision)
    require_checkpoints("dagan-spade")


def _check_conr(precision: str) -> None:
    _require_checkpoint("conr", precision)


WARP_MODEL = RendererFactory(_create_warp, motion_sets=frozenset({MESH478}))
COMPACT_MODEL = RendererFactory(_create_compact, _check_int8, frozenset({MESH478}))
DAGAN_MODEL = RendererFactory(_create_dagan, _check_dagan, own_driver="dagan", has_debug_panels=True)
DAGAN_SPADE_MODEL = RendererFactory(_create_dagan_spade, _check_dagan_spade, own_driver="dagan", has_debug_panels=True)
CONR_MODEL = RendererFactory(_create_conr, _check_conr, frozenset({DENSE_POSE}), avatar_source="character-sheet")
