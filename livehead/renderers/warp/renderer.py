"""The renderer ``warp``: no learning, a photo bent by its own face mesh, with depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from livehead.errors import SourceError
from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.motion.face.head import fit_head_motion
from livehead.motion.face.mesh import FACE_MESH, EyeIndices, Indices
from livehead.motion.keypoints import MESH478, Array, Keypoints, to_pixels
from livehead.perception.portrait import Portrait
from livehead.perception.segmentation import SelfieSegmenter
from livehead.renderers.remap import sample_image, upsample_image
from livehead.renderers.warp.backward_flow import compute_backward_flow
from livehead.renderers.warp.eyes import (
    CompletedEyeball,
    close_lids,
    complete_eyeball,
    draw_eye,
    lash_points,
    lash_triangles,
    skin_triangles,
)
from livehead.renderers.warp.foreground import PortraitLayers, split_layers
from livehead.renderers.warp.hair_body_mesh import HairBodyMesh, build_hair_body_mesh
from livehead.renderers.warp.mouth import MouthInterior, analyse_mouth, draw_cavity, interior_triangles

_DENSITY = 2  # linear samples of a picture that was enlarged well are as sharp as cubic ones, in a fifth of the time


@dataclass(frozen=True, slots=True, eq=False)
class _WarpTextures:
    """The pictures that are sampled at one size.

    ``person`` is RGBA, where the last is a mask, with ``_DENSITY`` samples a pixel.
    """

    person: Image
    border: int
    background: Image
    eyeballs: tuple[CompletedEyeball, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WarpAvatar:
    """A portrait prepared for ``WarpRenderer``: its layers, the mesh around its face and its mouth."""

    motion: Keypoints
    layers: PortraitLayers
    shell: HairBodyMesh
    mouth: MouthInterior
    _textures: dict[tuple[int, bool], _WarpTextures] = field(default_factory=dict, repr=False)

    def get_textures(self, side: int, tight_mask: bool) -> _WarpTextures:
        """Return the textures for a picture of ``side`` pixels, masked tightly or with a margin; each is made once."""
        if (side, tight_mask) not in self._textures:
            self._textures[side, tight_mask] = _make_textures(self.layers.resize(side), self.motion, tight_mask)
        return self._textures[side, tight_mask]


def _make_textures(layers: PortraitLayers, motion: Keypoints, tight_mask: bool) -> _WarpTextures:
    side, around = layers.side, layers.border
    masked = np.dstack([layers.image, layers.alpha if tight_mask else layers.matte])
    pixels = to_pixels(motion.value[0], side, side) + np.float32(around)
    eyeballs = tuple(complete_eyeball(layers.image, pixels, eye) for eye in _EYES)
    return _WarpTextures(upsample_image(masked, _DENSITY), around, layers.background, eyeballs)


class WarpRenderer:
    """Draws portraits in the motion of ``mesh478``, given in the coordinates of the portrait's crop.

    With ``alpha`` the pictures are RGBA, with straight alpha of the person alone.
    """

    def __init__(self, *, alpha: bool = False) -> None:
        self.alpha = alpha

    @property
    def avatar_type(self) -> type[WarpAvatar]:
        """The class of the avatars that this renderer prepares."""
        return WarpAvatar

    @property
    def motion_sets(self) -> frozenset[str]:
        """The sets of points that this renderer takes: the face mesh with irises."""
        return frozenset({MESH478})

    @property
    def hardware(self) -> str:
        """Always the processor, as there is no network to speed up."""
        return "processor, no network"

    def prepare(self, source: Portrait) -> WarpAvatar:
        """Split the portrait into layers and hang the mesh of hair and body on its face. Raises: SourceError."""
        if source.motion.set != MESH478:
            raise SourceError(f"warp takes {MESH478}, not {source.motion.set}", subject=source.name)
        face = source.motion.points3d()[0]
        with SelfieSegmenter() as segmentation:
            layers = split_layers(source, segmentation)
        shell = build_hair_body_mesh(face, layers, _SHELL_START)
        return WarpAvatar(source.motion, layers, shell, analyse_mouth(source.image, face))

    def render(self, avatar: WarpAvatar, motion: Keypoints, size: int) -> Image:
        """Draw the portrait in that motion: uint8 [size, size, 3] RGB, or [size, size, 4] with ``alpha``."""
        textures = avatar.get_textures(size, self.alpha)
        pose = _pose_mesh(avatar, motion.points3d()[0])
        flow = compute_backward_flow(pose.source_points, pose.target_points, pose.triangles, pose.two_sided, size)
        person = sample_image(textures.person, flow.sampling_grid(_DENSITY, textures.border))
        _draw_eyes_and_mouth(person[..., :3], avatar, textures, pose)
        person[..., 3] *= flow.coverage_mask()
        return person if self.alpha else _composite_over(person, textures.background)

    def render_many(self, requests: Sequence[RenderRequest[WarpAvatar, Keypoints]]) -> list[Image]:
        """Draw all ``requests`` one after the other: without a network, a batch gains nothing."""
        return [self.render(request.avatar, request.motion, request.size) for request in requests]


def _draw_eyes_and_mouth(person: Image, avatar: WarpAvatar, textures: _WarpTextures, pose: _PosedMesh) -> None:
    """Draw, in place, the eyeballs and the mouth's cavity over the picture that the flow gave."""
    size = person.shape[0]
    target = to_pixels(pose.target_points[:, :2], size, size)
    for eye, eyeball in zip(_EYES, textures.eyeballs, strict=True):
        draw_eye(person, eyeball, target[:_FACE_POINTS], eye)
    draw_cavity(person, avatar.mouth, target[:_FACE_POINTS], target[_FACE_POINTS:_LASH_START], pose.scale * size / 2)


@dataclass(frozen=True, slots=True, eq=False)
class _PosedMesh:
    """All points in the source, ``source_points`` [V, 2], and in the motion, ``target_points`` [V, 3].

    The first ``two_sided`` of ``triangles`` lie behind the skin; ``scale`` is the head's size over the source's.
    """

    source_points: Array
    target_points: Array
    triangles: Indices
    two_sided: int
    scale: float


def _pose_mesh(avatar: WarpAvatar, target: Array) -> _PosedMesh:
    source = avatar.motion.points3d()[0]
    head = fit_head_motion(source, target)
    shell = avatar.shell.deform(head, target[FACE_MESH.oval])
    face = target.copy()
    for eye in _EYES:
        close_lids(source, face, eye)
    origin = [source, avatar.mouth.interior_points(source, 1.0), lash_points(source, source, 1.0), avatar.shell.points]
    place = [face, avatar.mouth.interior_points(face, head.scale), lash_points(source, face, head.scale), shell]
    triangles = np.concatenate([avatar.shell.triangles, _OPENING_TRIANGLES, _SKIN_TRIANGLES])
    behind = len(avatar.shell.triangles) + len(_OPENING_TRIANGLES)
    return _PosedMesh(np.concatenate(origin)[:, :2], np.concatenate(place), triangles, behind, head.scale)


def _composite_over(person: Image, background: Image) -> Image:
    """Lay ``person`` (uint8 [S, S, 4] RGBA, straight alpha) over ``background`` (uint8 [S, S, 3] RGB)."""
    share = cv2.extractChannel(person, 3)
    picture: Image = cv2.cvtColor(person, cv2.COLOR_RGBA2RGB).astype(np.uint8, copy=False)
    cv2.copyTo(background, cv2.compare(share, 0, cv2.CMP_EQ), picture)  # type: ignore[call-overload]
    # Only the seam is mixed; it is a few pixels in a hundred.
    seam = np.flatnonzero((share - np.uint8(1)) < np.uint8(254))
    weight = share.reshape(-1)[seam, None].astype(np.uint16)
    flat, behind = picture.reshape(-1, 3), background.reshape(-1, 3)
    flat[seam] = (flat[seam] * weight + behind[seam] * (255 - weight) + 127) // 255
    return picture


def _eye_opening_triangles(eye: EyeIndices) -> Indices:
    """Return a fan of triangles about the pupil that closes the opening of ``eye``."""
    loop = eye.opening
    return np.stack([np.full_like(loop, eye.iris[0]), loop, np.roll(loop, -1)], axis=1)


_EYES = (FACE_MESH.right_eye, FACE_MESH.left_eye)
_FACE_POINTS = 478  # then come 18 points of the mouth's inside, 14 of the lashes and those of the shell
_LASH_START = _FACE_POINTS + 18
_SHELL_START = _LASH_START + 14
_OPENING_TRIANGLES = np.concatenate(
    [
        _eye_opening_triangles(FACE_MESH.right_eye),
        _eye_opening_triangles(FACE_MESH.left_eye),
        interior_triangles(_FACE_POINTS),
    ]
)
_SKIN_TRIANGLES = np.concatenate([skin_triangles(), lash_triangles(_LASH_START)])
