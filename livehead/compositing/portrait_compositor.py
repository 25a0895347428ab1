"""The rendered head goes back into its photo, and the photo onto the canvas that a call expects.

Everything that does not move is drawn once, at construction. A frame costs one copy of that canvas, one resize of the
rendered square and a blend along its border: about 1 ms for 512 x 512 into 1280 x 720.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from livehead.compositing.background import BLUR, KEEP, NONE, BackgroundPainter
from livehead.compositing.badge import AvatarBadge
from livehead.compositing.placement import Fit, PhotoPlacement, PixelRect, place_photo
from livehead.frames import Image
from livehead.motion.easing import smoothstep
from livehead.perception.cutout import CUTOUT_GROUND
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import Portrait
from livehead.perception.segmentation import SelfieSegmenter

_FEATHER = 0.05  # share of the square's side over which the rendered square passes into the still photo
_BAR_COLOUR = (16, 16, 16)
_SIDES_BLUR = 1 / 28  # standard deviation of blurred sides over the canvas' width
_SIDES_DIM = 0.72  # so that the sides stay behind the photo


class PortraitCompositor:
    """Puts the rendered square of a portrait onto a canvas of ``size`` (width, height).

    ``fit`` is one of three words: ``fit`` shows the whole photo between bars, ``blur`` the whole photo between blurred
    sides, ``crop`` head and shoulders (with blurred sides where a narrow photo has no more). ``background`` is
    ``keep``, ``blur``, a colour (``#rrggbb`` or a CSS name), the path of an image or an image; ``none`` makes canvases
    that are transparent there, their colours those of ``keep``. ``badge`` adds a small visible "avatar" mark in a
    corner.

    Raises: ConfigError, SourceError for a background that cannot be used.
    """

    def __init__(
        self,
        portrait: Portrait,
        size: tuple[int, int] = (1280, 720),
        fit: Fit = "blur",
        background: str | Image = KEEP,
        badge: bool = False,
    ) -> None:
        photo = portrait.photo
        self.size = size
        place_of = place_photo((photo.shape[1], photo.shape[0]), portrait.crop, size, fit)
        self._head = place_of.head
        self._visible_head = place_of.head.intersect(place_of.visible)
        self._badge = AvatarBadge(size) if badge else None
        still = _draw_still_canvas(photo, place_of, size, fit)
        if portrait.cutout is not None and isinstance(background, str) and background in (KEEP, BLUR):
            background = CUTOUT_GROUND  # there is nothing behind the person that could be kept
        self._background_replacer: _BackgroundReplacer | None = None
        if isinstance(background, str) and background == NONE:
            still = np.dstack([still, _person_mask(portrait, place_of, size)])
        elif not (isinstance(background, str) and background == KEEP):
            still = self._replace_background(still, portrait, place_of, BackgroundPainter(background))
        self._square = np.empty((self._head.width, self._head.width, still.shape[2]), np.uint8)
        self._still = still
        self._feathered_paste = _FeatheredPaste(
            still[self._visible_head.slices], *_feather_weights(self._head, self._visible_head, portrait.crop, photo)
        )

    def compose(self, rendered: Image) -> Image:
        """Lay ``rendered``, the portrait's square in motion, on a new canvas.

        ``rendered`` is uint8 [S, S, 3] RGB or [S, S, 4] RGBA with straight alpha; the canvas uint8 [height, width, 3]
        RGB, or [height, width, 4] RGBA with straight alpha for background ``none``. Without alpha, a replaced
        background keeps the photo's own outline of the person.
        """
        canvas = self._still.copy()
        if self._background_replacer is None and canvas.shape[2] == 4:
            picture = self._crop_with_alpha(rendered)
        elif self._background_replacer is None:
            picture = _resize_square(_drop_alpha(rendered), self._square)[self._visible_slices]
        else:
            picture = self._background_replacer.composite_over(rendered)
        self._feathered_paste.paste(picture, canvas[self._visible_head.slices])
        if self._badge is not None:
            self._badge.draw(canvas)
        return canvas

    @property
    def _visible_slices(self) -> tuple[slice, slice]:
        """The part of the square that is on the canvas, at canvas resolution."""
        top, left = self._visible_head.top - self._head.top, self._visible_head.left - self._head.left
        return slice(top, top + self._visible_head.height), slice(left, left + self._visible_head.width)

    def _crop_with_alpha(self, rendered: Image) -> Image:
        """Return the visible part of a square [S, S, 3 or 4] with its alpha, or with the photo's own outline."""
        if rendered.shape[2] == 4:
            return _resize_square(rendered, self._square)[self._visible_slices]
        colour = _resize_square(rendered, self._square[..., :3].copy())[self._visible_slices]
        return np.dstack([colour, self._still[self._visible_head.slices][..., 3]])

    def _replace_background(
        self, still: Image, portrait: Portrait, placement: PhotoPlacement, background: BackgroundPainter
    ) -> Image:
        """Return the still canvas with another background, which is kept for the moving pictures."""
        mask = _person_mask(portrait, placement, self.size)
        ground = background.paint(still, mask, placement.visible.slices)
        part = self._visible_head.slices
        self._background_replacer = _BackgroundReplacer(
            ground[part], mask[part], self._head.width, self._visible_slices
        )
        return cv2.add(_multiply_by_mask(still, mask), _multiply_by_mask(ground, np.invert(mask))).astype(
            np.uint8, copy=False
        )


class _BackgroundReplacer:
    """Puts rendered heads before another background.

    The working memory is kept: touching fresh pages for every frame takes longer than the arithmetic does.
    """

    def __init__(self, ground: Image, own_alpha: Image, side: int, visible: tuple[slice, slice]) -> None:
        self._ground = np.ascontiguousarray(ground)
        self._photo_inverse_alpha = np.invert(own_alpha)
        self._visible = visible
        self._inverse_alpha = np.empty((side, side), np.uint8)
        self._colour = np.empty((side, side, 3), np.uint8)
        self._share, self._background_term, self._foreground_term = (np.empty_like(self._ground) for _ in range(3))
        self._premultiply_buffers = _PremultiplyBuffers(0)

    def composite_over(self, rendered: Image) -> Image:
        """Return the canvas's part for a square [S, S, 3 or 4] before the background; the next call overwrites it."""
        if rendered.shape[2] == 3:
            colour = _resize_square(rendered, self._colour)[self._visible]
            clear = self._photo_inverse_alpha
            cv2.merge([np.invert(clear)] * 3, self._share)
            colour = cv2.multiply(colour, self._share, self._foreground_term, scale=1 / 255).astype(
                np.uint8, copy=False
            )
        else:
            # Multiplied by alpha while small: less to do, and no colour seeps in across the outline.
            if self._premultiply_buffers.side != rendered.shape[0]:
                self._premultiply_buffers = _PremultiplyBuffers(rendered.shape[0])
            small_colour, small_clear = self._premultiply_buffers.premultiply(rendered)
            colour = _resize_square(small_colour, self._colour)[self._visible]
            clear = _resize_square(small_clear, self._inverse_alpha)[self._visible]
        cv2.merge([clear] * 3, self._share)
        cv2.multiply(self._ground, self._share, self._background_term, scale=1 / 255)
        return cv2.add(colour, self._background_term, self._foreground_term).astype(np.uint8, copy=False)


class _PremultiplyBuffers:
    """Buffers, used again for every frame, in which a picture of the renderer's resolution is premultiplied."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._alpha = np.empty((side, side), np.uint8)
        self._inverse_alpha = np.empty_like(self._alpha)
        self._colour, self._share = (np.empty((side, side, 3), np.uint8) for _ in range(2))

    def premultiply(self, rendered: Image) -> tuple[Image, Image]:
        """Return the colour times alpha of an RGBA picture, and one minus its alpha."""
        cv2.extractChannel(rendered, 3, self._alpha)
        cv2.cvtColor(rendered, cv2.COLOR_RGBA2RGB, self._colour)
        cv2.merge([self._alpha] * 3, self._share)
        cv2.multiply(self._colour, self._share, self._colour, scale=1 / 255)
        cv2.bitwise_not(self._alpha, self._inverse_alpha)
        return self._colour, self._inverse_alpha


class _FeatheredPaste:
    """Pastes a picture into another of the same size: its middle as it is, its border blended by weights.

    Blending is a multiplication and an addition in uint8, with the still picture's share computed beforehand.
    """

    def __init__(self, still: Image, rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]) -> None:
        weight = np.rint(rows[:, None] * columns[None, :] * 255).astype(np.uint8)
        self._weight = np.ascontiguousarray(np.repeat(weight[:, :, None], still.shape[2], axis=2))
        self._still_term = cv2.multiply(still, 255 - self._weight, scale=1 / 255)
        (top, bottom), (left, right) = _full_weight_span(rows), _full_weight_span(columns)
        self._middle = (slice(top, bottom), slice(left, right))
        strips = [
            (slice(0, top), slice(0, len(columns))),
            (slice(bottom, len(rows)), slice(0, len(columns))),
            (slice(top, bottom), slice(0, left)),
            (slice(top, bottom), slice(right, len(columns))),
        ]
        self._strips = [strip for strip in strips if all(part.start < part.stop for part in strip)]

    def paste(self, picture: Image, canvas: Image) -> None:
        """Paste ``picture`` into ``canvas``, which already shows the still picture."""
        canvas[self._middle] = picture[self._middle]
        for strip in self._strips:
            canvas[strip] = cv2.add(
                self._still_term[strip], cv2.multiply(picture[strip], self._weight[strip], scale=1 / 255)
            )


def _full_weight_span(weights: npt.NDArray[np.float32]) -> tuple[int, int]:
    """Return the span of the weights that are 1: the first index, and one more than the last."""
    whole = np.flatnonzero(weights >= 1)
    return (int(whole[0]), int(whole[-1]) + 1) if len(whole) else (0, 0)


def _feather_weights(
    head: PixelRect, part: PixelRect, crop: PixelSquare, photo: Image
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the weight of the rendered square in each row and column of ``part``.

    It is 0 at the border of the part and 1 from the feather on. A border that lies on the photo's own edge has no still
    photo beyond it and stays at 1.
    """
    height, width = photo.shape[:2]
    feather = max(_FEATHER * head.width, 2.0)

    def ramp(start: int, count: int, low_open: bool, high_open: bool) -> npt.NDArray[np.float32]:
        at = np.arange(start, start + count) + 0.5
        weight = np.ones(count)
        for distance, is_open in ((at, low_open), (head.width - at, high_open)):
            if not is_open:
                weight *= smoothstep(distance / feather)
        return weight.astype(np.float32)

    rows = ramp(part.top - head.top, part.height, crop.top <= 0, crop.top + crop.side >= height)
    columns = ramp(part.left - head.left, part.width, crop.left <= 0, crop.left + crop.side >= width)
    return rows, columns


def _person_mask(portrait: Portrait, placement: PhotoPlacement, size: tuple[int, int]) -> Image:
    """Return the share of person in each pixel of the still canvas: uint8 [height, width]."""
    person = portrait.cutout
    if person is None:
        with SelfieSegmenter() as segmentation:
            person = (segmentation.segment_person(portrait.photo) * 255).astype(np.uint8)
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[placement.visible.slices] = _resample_photo(person, placement)
    return mask


def _draw_still_canvas(photo: Image, placement: PhotoPlacement, size: tuple[int, int], fit: Fit) -> Image:
    """Draw the canvas with the photo in its place and nothing moving."""
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = _BAR_COLOUR if fit == "fit" else _draw_blurred_sides(photo, size)
    canvas[placement.visible.slices] = _resample_photo(photo, placement)
    return canvas


def _draw_blurred_sides(photo: Image, size: tuple[int, int]) -> Image:
    """Draw the photo, blurred and dimmed, over a canvas of ``size``."""
    height, width = photo.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    window = (min(size[0] / scale, width), min(size[1] / scale, height))
    left, top = (width - window[0]) / 2, (height - window[1]) / 2
    box = (left, top, left + window[0], top + window[1])
    small = (max(size[0] // 8, 1), max(size[1] // 8, 1))
    cover = np.asarray(Pillow.fromarray(photo).resize(small, Pillow.Resampling.BOX, box=box), np.float32)
    blurred = cv2.GaussianBlur(cover, (0, 0), small[0] * _SIDES_BLUR, borderType=cv2.BORDER_REPLICATE) * _SIDES_DIM
    return np.rint(cv2.resize(blurred, size, interpolation=cv2.INTER_CUBIC)).clip(0, 255).astype(np.uint8)


def _resample_photo(photo: Image, placement: PhotoPlacement) -> Image:
    """Return the part of a photo (or of its mask) that ``placement.visible`` shows, at canvas resolution."""
    box = placement.photo_box(photo.shape[1], photo.shape[0])
    how = Pillow.Resampling.LANCZOS if placement.scale < 1 else Pillow.Resampling.BICUBIC
    picture = Pillow.fromarray(photo).resize((placement.visible.width, placement.visible.height), how, box=box)
    return np.asarray(picture, np.uint8)


def _resize_square(square: Image, into: Image) -> Image:
    """Resize ``square`` into the picture ``into``; a square that has its size already is returned as it is."""
    side = into.shape[0]
    if square.shape[0] == side:
        return square
    # Linear down to half; below that it would skip pixels. Upwards, cubic costs no more and is sharper.
    shrink = side / square.shape[0]
    how = cv2.INTER_AREA if shrink < 0.5 else cv2.INTER_LINEAR if shrink < 1 else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), into, interpolation=how).astype(np.uint8, copy=False)


def _drop_alpha(picture: Image) -> Image:
    if picture.shape[2] == 3:
        return picture
    return cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB).astype(np.uint8, copy=False)


def _multiply_by_mask(picture: Image, share: Image) -> Image:
    """Multiply uint8 [h, w, 3] by uint8 [h, w], of which 255 is one."""
    return cv2.multiply(picture, cv2.merge([share, share, share]), scale=1 / 255).astype(np.uint8, copy=False)
