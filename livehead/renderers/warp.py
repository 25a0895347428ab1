"""The renderer ``warp``: no learning, a photo bent by its own face mesh, with depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.motion.head import fit_head
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.motion.mesh import MESH, Eye, Indices
from livehead.perception.portrait import Portrait
from livehead.perception.segmentation import Segmentation
from livehead.renderers.flow import Flow, backward_flow, sample
from livehead.renderers.layers import Layers, split_layers
from livehead.renderers.shell import Shell, build_shell, outline_bending

_CELLS = 128  # the flow's grid; a finer one made no clip better
_DENSITY = 2  # linear samples of a picture that was enlarged well are as sharp as cubic ones, in a fifth of the time


@dataclass(frozen=True, slots=True, eq=False)
class _Textures:
    """What is sampled at one size: ``image`` has ``_DENSITY`` samples a pixel, the soft ``matte`` one a cell."""

    image: Image
    background: Image
    matte: Array
    alpha: Array


@dataclass(frozen=True, slots=True, eq=False)
class WarpAvatar:
    """A portrait made ready for ``WarpRenderer``."""

    motion: Keypoints
    layers: Layers
    shell: Shell
    _textures: dict[int, _Textures] = field(default_factory=dict, repr=False)

    def at(self, side: int) -> _Textures:
        """What to sample for a picture of ``side`` pixels; made once for each size."""
        if side not in self._textures:
            self._textures[side] = _texture(self.layers.scaled(side), side)
        return self._textures[side]


def _texture(layers: Layers, side: int) -> _Textures:
    line = np.arange(_DENSITY * side - _DENSITY + 1, dtype=np.float32) / _DENSITY
    between = np.stack(np.meshgrid(line, line), axis=-1)
    enlarged = sample(layers.image, between, cv2.INTER_LANCZOS4)
    return _Textures(enlarged, layers.background, layers.scaled(_CELLS).matte, layers.alpha)


class WarpRenderer:
    """Draws portraits in the motion of ``mesh478``, given in the coordinates of the portrait's crop.

    ``size``: side of the output in pixels. ``alpha``: give RGBA, straight alpha of the person alone.
    """

    def __init__(self, size: int = 512, *, alpha: bool = False) -> None:
        self.size = size
        self.alpha = alpha

    @property
    def motion_sets(self) -> frozenset[str]:
        """Takes the face mesh with irises."""
        return frozenset({MESH478})

    def prepare(self, source: Portrait) -> WarpAvatar:
        """Split the portrait and hang the shell on its face. Raises: SourceError."""
        if source.motion.set != MESH478:
            raise SourceError(f"warp takes {MESH478}, not {source.motion.set}", subject=source.name)
        face = source.motion.points3d()[0]
        with Segmentation() as segmentation:
            person = segmentation.person(source.image)
        layers = split_layers(source.image, person, face)
        return WarpAvatar(source.motion, layers, build_shell(face, layers.matte))

    def render(self, avatar: WarpAvatar, motion: Keypoints) -> Image:
        """uint8 [size, size, 3] RGB, or [size, size, 4] with ``alpha``."""
        textures = avatar.at(self.size)
        flow = _flow(avatar, motion.points3d()[0])
        person = sample(textures.image, flow.places(self.size, _DENSITY))
        matte = flow.carry(textures.alpha if self.alpha else textures.matte, self.size)
        if self.alpha:
            return np.dstack([person, np.rint(matte * 255).astype(np.uint8)])
        blended: Image = cv2.blendLinear(person, textures.background, matte, 1 - matte).astype(np.uint8, copy=False)
        return blended

    def render_many(self, pairs: Sequence[tuple[WarpAvatar, Keypoints]]) -> list[Image]:
        """One after the other: there is nothing to gain from a batch on a CPU."""
        return [self.render(avatar, motion) for avatar, motion in pairs]


def _opening(eye: Eye) -> list[tuple[int, int, int]]:
    centre, loop = int(eye.iris[0]), [int(i) for i in eye.opening]
    return [(centre, a, b) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]


def _face_triangles() -> Indices:
    """The skin, and the openings of eyes and mouth closed."""
    upper, lower = MESH.mouth.upper, MESH.mouth.lower
    inner = [(upper[i], upper[i + 1], lower[i]) for i in range(1, 10)]
    inner += [(lower[i], upper[i + 1], lower[i + 1]) for i in range(9)]
    closed = _opening(MESH.right_eye) + _opening(MESH.left_eye) + [(int(a), int(b), int(c)) for a, b, c in inner]
    return np.concatenate([MESH.triangles, np.array(closed, np.int32)])


_FACE = _face_triangles()


def _flow(avatar: WarpAvatar, target: Array) -> Flow:
    source = avatar.motion.points3d()[0]
    head = fit_head(source, target)
    shell = avatar.shell.moved(head, outline_bending(source, target, head))
    triangles = np.concatenate([avatar.shell.triangles, _FACE])
    origin = np.concatenate([source, avatar.shell.points])[:, :2]
    place = np.concatenate([target, shell])
    return backward_flow(origin, place, triangles, len(avatar.shell.triangles), _CELLS)
