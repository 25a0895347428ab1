"""The performer's picture itself drives the avatar, through key points that DaGAN's detector learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from livehead.frames import Image
from livehead.interfaces import BaseDriver, DriverInputs
from livehead.motion.keypoints import Array, Keypoints, to_pixels
from livehead.motion.smoothing import KeypointSmoother, SmoothingParameters
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import cut_portrait, propose_crop
from livehead.perception.rgbd import DAGAN_SIDE, RgbdDetector

_DETECT_EVERY_FRAMES = 5  # the face tracker only says whether somebody is there, and where
_MAX_DRIFT = 0.12  # share of the crop's side, from the place that a new crop would have


class DaganDriver(BaseDriver):
    """Looks at head and shoulders of the performer. It is a ``Driver`` of ``dagan15`` or ``dagan10`` for one thread.

    A square frame is taken whole, since clips of a face are cropped already. In any other frame a square about the face
    is taken; it stays where it is until the face has left its middle. Key points are always given in the coordinates of
    the first such square, so that a new square makes no jump.
    """

    def __init__(self, detector: RgbdDetector, smoothing: SmoothingParameters | None = None) -> None:
        self._detector = detector
        self._mesh = FaceMeshTracker()
        self._smoother = KeypointSmoother(smoothing)
        count = int(detector.motion_set.removeprefix("dagan"))
        eyes = np.tile(np.eye(2, dtype=np.float32), (1, count, 1, 1))
        nothing = np.zeros((1, count, 2), np.float32)
        self._last = Keypoints(detector.motion_set, nothing, None, eyes, np.zeros(1, np.float32), 0)
        self._home_crop: PixelSquare | None = None
        self._crop: PixelSquare | None = None
        self._face_visible = False
        self._frame_count = 0

    @property
    def motion_set(self) -> str:
        """The detector's set of points: ``dagan15`` or ``dagan10``."""
        return self._detector.motion_set

    def estimate(self, inputs: DriverInputs) -> Keypoints:
        """Estimate the performer's key points at ``inputs.frame``.

        Confidence is 0 while no face is seen; the value is then the last good one.
        """
        frame = inputs.frame
        if frame is None:
            return self._last
        image = frame.image[..., :3]
        self._update_crop(image, frame.captured_ns)
        sighting = self._mesh.sighting
        if self._home_crop is None or self._crop is None or not self._face_visible:
            nothing = np.zeros(1, np.float32)
            unseen = replace(self._last, confidence=nothing, captured_ns=frame.captured_ns, sighting=sighting)
            self._last = self._smoother.smooth(unseen)
            return self._last
        found = self._detector.detect(cut_portrait(image, self._crop, DAGAN_SIDE), frame.captured_ns)
        found = replace(_to_home_coordinates(found, self._crop, self._home_crop), sighting=sighting)
        self._last = self._smoother.smooth(found)
        return self._last

    def choose_face_anew(self) -> None:
        """Follow whoever's face is the largest from the next look on; callable from any thread."""
        self._mesh.reset()

    def close(self) -> None:
        """Free the tracker."""
        self._mesh.close()

    def _update_crop(self, image: Image, captured_ns: int) -> None:
        """Look for the face now and then, and always while nobody is there, and see whether it left its square."""
        self._frame_count += 1
        if self._face_visible and self._frame_count % _DETECT_EVERY_FRAMES:
            return
        faces = self._mesh.detect(image, captured_ns)
        self._face_visible = bool(faces)
        if faces:
            height, width = image.shape[:2]
            self._forget_other_person()
            self._crop = _keep_or_replace_crop(self._crop, _crop_around_face(faces[0].points3d()[0], width, height))
            self._home_crop = self._home_crop or self._crop

    def _forget_other_person(self) -> None:
        """Start afresh with a new person, who is measured in a first square of his own."""
        last, now = self._last.sighting, self._mesh.sighting
        if last is not None and now is not None and last.performer != now.performer:
            self._home_crop = self._crop = None
            self._smoother.reset()


def _crop_around_face(points: Array, width: int, height: int) -> PixelSquare:
    """Return the square to look at, for a mesh [478, 3] in the coordinates of the frame's square."""
    if width == height:
        return PixelSquare(0, 0, width)
    pixels = points * np.float32(max(width, height) / 2)
    pixels[:, :2] = to_pixels(points[:, :2], width, height)
    return propose_crop(pixels, width, height)


def _keep_or_replace_crop(crop: PixelSquare | None, wanted: PixelSquare) -> PixelSquare:
    """Return ``crop`` as long as it is near enough to the one that is wanted, else the wanted one."""
    if crop is None:
        return wanted
    apart = max(abs(_crop_center(crop, axis) - _crop_center(wanted, axis)) for axis in (0, 1))
    grown = abs(crop.side - wanted.side) / 2
    return wanted if max(apart, grown) > _MAX_DRIFT * crop.side else crop


def _crop_center(crop: PixelSquare, axis: int) -> float:
    return (crop.left, crop.top)[axis] + crop.side / 2


def _to_home_coordinates(found: Keypoints, crop: PixelSquare, home: PixelSquare) -> Keypoints:
    """Convert key points found in ``crop`` to the coordinates of ``home``, the first square."""
    if crop == home:
        return found
    zoom = np.float32(crop.side / home.side)
    shift = [2 * (_crop_center(crop, axis) - _crop_center(home, axis)) / home.side for axis in (0, 1)]
    jacobian = None if found.jacobian is None else found.jacobian * zoom
    return replace(found, value=found.value * zoom + np.array(shift, np.float32), jacobian=jacobian)
