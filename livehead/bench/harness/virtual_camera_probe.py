"""The far end of a virtual camera: notes what arrives in the native pixel format, and when."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from livehead.bench.latency import ReceivedFrames
from livehead.clock import now_ns
from livehead.concurrency import Worker
from livehead.errors import DeviceError
from livehead.frames import AudioFrame, Frame, Image, VideoFrame

if TYPE_CHECKING:
    from types import ModuleType

BACKEND_NAME = "livehead-receiver"
NATIVE_FORMAT = "I420"
"""The pixel format that the probe and v4l2loopback take: full-size luma, then two quarter-size planes of colour."""


class VirtualCameraProbe:
    """Notes the pictures that come out of a pipeline; after the run, ``received_frames`` has them.

    Either ``register`` it and open a virtual camera with ``backend=BACKEND_NAME``, or, where pyvirtualcam is not
    installed, let a ``VirtualCameraProbeSink`` do the conversion that a virtual camera would. Noting a picture takes
    about 0.1 ms. ``thumbnail``: width and height at which pictures are kept.
    """

    def __init__(self, thumbnail: tuple[int, int] = (64, 36)) -> None:
        self._thumbnail = thumbnail
        self._at_ns: list[int] = []
        self._thumbnails: list[npt.NDArray[np.uint8]] = []

    def register(self) -> None:
        """Make this probe pyvirtualcam's backend ``BACKEND_NAME``. Raises: DeviceError without pyvirtualcam."""
        _import_pyvirtualcam().register_backend(BACKEND_NAME, self._open_backend)

    @property
    def received_frames(self) -> ReceivedFrames:
        """All pictures that have come so far."""
        width, height = self._thumbnail
        return ReceivedFrames(
            np.array(self._at_ns, np.int64), np.array(self._thumbnails, np.uint8).reshape(-1, height, width)
        )

    def _open_backend(
        self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: object
    ) -> _ProbeBackend:
        return _ProbeBackend(self, (height, width), native=fourcc == _to_fourcc(NATIVE_FORMAT))

    def record_luma(self, luma: npt.NDArray[np.uint8]) -> None:
        """Note one picture by its luma, uint8 [H, W]."""
        self._at_ns.append(now_ns())
        small = cv2.resize(luma, self._thumbnail, interpolation=cv2.INTER_AREA)
        self._thumbnails.append(np.asarray(small, np.uint8))


class VirtualCameraProbeSink:
    """A sink that converts pictures to the native format and hands them to a probe, as a virtual camera does."""

    def __init__(self, probe: VirtualCameraProbe) -> None:
        self._probe = probe
        self._worker = Worker("receiver")
        self.audio_frames: list[AudioFrame] = []
        """All sound that was sent."""
        self.latency_ms: list[float] = []
        """For each picture, the time from its ``captured_ns`` until it was received."""

    async def __aenter__(self) -> VirtualCameraProbeSink:
        await self._worker.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._worker.__aexit__(kind, error, trace)

    async def send(self, frame: Frame) -> None:
        """Convert and note one picture, or keep sound."""
        if isinstance(frame, VideoFrame):
            await self._worker.run(self._convert_and_record, frame.image)
            self.latency_ms.append((now_ns() - frame.captured_ns) / 1e6)
        else:
            self.audio_frames.append(frame)

    def _convert_and_record(self, image: Image) -> None:
        native = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2YUV_I420)
        self._probe.record_luma(np.asarray(native[: image.shape[0]], np.uint8))


class _ProbeBackend:
    """A backend as pyvirtualcam asks for it."""

    def __init__(self, probe: VirtualCameraProbe, shape: tuple[int, int], *, native: bool) -> None:
        self._probe = probe
        self._shape = shape
        self._native = native

    def send(self, frame: npt.NDArray[np.uint8]) -> None:
        if not self._native:  # the conversion would be missing from the measured time
            raise RuntimeError(f"the probe takes {NATIVE_FORMAT} only")
        height, width = self._shape
        self._probe.record_luma(frame[: height * width].reshape(height, width))

    def close(self) -> None:
        """There is nothing to free: what was received stays with the probe."""

    def device(self) -> str:
        return BACKEND_NAME

    def native_fourcc(self) -> int:
        return _to_fourcc(NATIVE_FORMAT)


def _to_fourcc(name: str) -> int:
    """The four letters as the number that pyvirtualcam passes."""
    return int.from_bytes(name.encode("ascii"), "little")


def _import_pyvirtualcam() -> ModuleType:
    try:
        import pyvirtualcam
    except ImportError as error:
        raise DeviceError(
            "the latency is measured behind pyvirtualcam, which is not installed", "pip install 'livehead[virtualcam]'"
        ) from error
    module: ModuleType = pyvirtualcam
    return module
