"""The rendered head goes back into its photo without a seam, whatever the photo's shape and the canvas."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from livehead.compositing.cross_fade import CrossFade
from livehead.compositing.placement import Fit, place_photo
from livehead.compositing.portrait_compositor import PortraitCompositor
from livehead.errors import ConfigError, SourceError
from livehead.motion.keypoints import mesh_keypoints
from livehead.perception.photo import read_photo
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import Portrait, cut_portrait, prepare_portrait

ASTRONAUT = Path(__file__).parents[2] / "livehead" / "assets" / "astronaut.png"
FITS: tuple[Fit, ...] = ("fit", "crop", "blur")


def a_portrait(width: int, height: int, crop: PixelSquare) -> Portrait:
    """A photo of soft coloured waves; nobody looks at the mesh here."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(x / 37 + channel) * np.cos(y / 29 - channel) for channel in range(3)]
    photo = np.stack(waves, axis=2).astype(np.uint8)
    mesh = mesh_keypoints(np.zeros((478, 3), np.float32), 1.0, 0)
    return Portrait("waves", photo, crop, cut_portrait(photo, crop, min(crop.side, 1024)), mesh, (), "0" * 64)


@pytest.fixture(scope="module")
def astronaut() -> Portrait:
    return prepare_portrait(read_photo(ASTRONAUT), "astronaut")


SHAPES = [
    (640, 480, PixelSquare(150, 60, 300)),
    (480, 900, PixelSquare(40, 100, 400)),
    (512, 512, PixelSquare(0, 0, 512)),
    (1900, 700, PixelSquare(1250, 10, 640)),
    (300, 400, PixelSquare(-40, 20, 380)),  # leaves the photo on both sides
]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height", "crop"), SHAPES)
def test_a_head_that_does_not_move_leaves_the_photo_as_it_is(
    width: int, height: int, crop: PixelSquare, fit: Fit
) -> None:
    portrait = a_portrait(width, height, crop)
    canvas = PortraitCompositor(portrait, (640, 360), fit).compose(portrait.image)
    where = place_photo((width, height), crop, (640, 360), fit)
    left, top, right, bottom = where.photo_box(width, height)
    seen = canvas[where.visible.slices]
    columns = left + (np.arange(seen.shape[1], dtype=np.float32) + 0.5) * (right - left) / seen.shape[1] - 0.5
    rows = top + (np.arange(seen.shape[0], dtype=np.float32) + 0.5) * (bottom - top) / seen.shape[0] - 0.5
    truth = cv2.remap(portrait.photo, *np.meshgrid(columns, rows), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(seen.astype(int) - truth.astype(int)).max() <= 8
    assert np.abs(seen.astype(int) - truth.astype(int)).mean() < 1


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height", "crop"), SHAPES)
def test_the_canvas_shows_the_photo_in_its_own_proportions(
    width: int, height: int, crop: PixelSquare, fit: Fit
) -> None:
    where = place_photo((width, height), crop, (640, 360), fit)
    assert where.head.width == where.head.height
    assert where.scale == pytest.approx(where.head.width / crop.side)
    if fit == "crop":
        assert where.visible.height == 360
        assert where.visible.width == 640 or crop.side * 640 / 360 > width
        assert 0.8 * 360 < where.head.height < 1.1 * 360
    else:
        assert where.visible.width == 640 or where.visible.height == 360
        assert where.visible.width / where.visible.height == pytest.approx(width / height, rel=0.01)


@pytest.mark.parametrize("fit", FITS)
def test_only_the_square_changes_and_its_border_fades(fit: Fit) -> None:
    portrait = a_portrait(640, 480, PixelSquare(150, 60, 300))
    compositor = PortraitCompositor(portrait, (640, 360), fit)
    white, black = (compositor.compose(np.full((256, 256, 3), tone, np.uint8)) for tone in (255, 0))
    head = place_photo((640, 480), portrait.crop, (640, 360), fit).head
    outside = np.ones((360, 640), bool)
    outside[head.slices] = False
    assert np.array_equal(white[outside], black[outside])
    assert (white[head.slices] == 255).all(axis=2).mean() > 0.75
    middle = white[head.top + head.height // 2].astype(int) - black[head.top + head.height // 2].astype(int)
    assert np.abs(np.diff(middle[:, 0])).max() <= 255 * 0.16, "the passage is gradual"


def test_an_edge_of_the_photo_is_no_edge_of_the_head() -> None:
    portrait = a_portrait(512, 512, PixelSquare(0, 0, 512))
    canvas = PortraitCompositor(portrait, (1280, 720), "fit").compose(np.full((512, 512, 3), 255, np.uint8))
    assert (canvas[:, 280:1000] == 255).all()
    assert (canvas[:, :280] == canvas[0, 0]).all()


def test_every_frame_is_a_canvas_of_its_own() -> None:
    portrait = a_portrait(640, 480, PixelSquare(150, 60, 300))
    compositor = PortraitCompositor(portrait, (640, 360))
    first = compositor.compose(portrait.image)
    kept = first.copy()
    second = compositor.compose(np.zeros_like(portrait.image))
    assert np.array_equal(first, kept)
    first[:] = 0  # a sink may write into what it holds
    assert np.array_equal(compositor.compose(np.zeros_like(portrait.image)), second)


@pytest.mark.parametrize("size", [128, 300, 512, 1024])
def test_the_renderers_size_may_change_between_frames(size: int) -> None:
    portrait = a_portrait(640, 480, PixelSquare(150, 60, 300))
    compositor = PortraitCompositor(portrait, (1280, 720))
    still = compositor.compose(portrait.image).astype(int)
    picture = cv2.resize(portrait.image, (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(compositor.compose(picture).astype(int) - still).mean() < 2


def test_alpha_is_ignored_where_the_background_is_kept() -> None:
    portrait = a_portrait(640, 480, PixelSquare(150, 60, 300))
    compositor = PortraitCompositor(portrait, (640, 360))
    clear = np.dstack([portrait.image, np.zeros(portrait.image.shape[:2], np.uint8)])
    assert np.array_equal(compositor.compose(clear), compositor.compose(portrait.image))


def test_a_colour_stands_behind_the_person_everywhere(astronaut: Portrait) -> None:
    compositor = PortraitCompositor(astronaut, (640, 360), "fit", "#3366aa")
    clear = np.dstack([astronaut.image, np.zeros(astronaut.image.shape[:2], np.uint8)])
    canvas = compositor.compose(clear)
    head = place_photo((512, 512), astronaut.crop, (640, 360), "fit").head
    assert (canvas[:, :120] == (0x33, 0x66, 0xAA)).all(), "no bars"
    inner = canvas[head.top + 15 : head.top + head.height - 15, head.left + 15 : head.left + head.width - 15]
    assert np.abs(inner.astype(int) - (0x33, 0x66, 0xAA)).max() <= 1, "a clear head shows the colour alone"
    suit = canvas[300:340, 270:330].astype(int).mean(axis=(0, 1))
    assert suit[0] > suit[2] + 60, "the orange suit, outside the square, stays"


def test_a_renderer_without_alpha_keeps_the_photos_own_outline(astronaut: Portrait) -> None:
    canvas = PortraitCompositor(astronaut, (640, 360), "crop", "lime").compose(astronaut.image)
    assert (canvas[5, 30] == (0, 255, 0)).all()
    face = place_photo((512, 512), astronaut.crop, (640, 360), "crop").head
    middle = canvas[face.top + face.height // 2, face.left + face.width // 2].astype(int)
    assert middle[0] > middle[2], "skin"


def test_a_blurred_background_loses_detail_and_takes_no_colour_from_the_person(astronaut: Portrait) -> None:
    opaque = np.dstack([astronaut.image, np.full(astronaut.image.shape[:2], 255, np.uint8)])
    sharp = PortraitCompositor(astronaut, (1280, 720), "fit").compose(astronaut.image)
    soft = PortraitCompositor(astronaut, (1280, 720), "fit", "blur").compose(opaque)
    flag = (slice(60, 260), slice(285, 400))
    assert cv2.Laplacian(soft[flag], cv2.CV_32F).std() < 0.3 * cv2.Laplacian(sharp[flag], cv2.CV_32F).std()
    wall = soft[420:520, 930:990].astype(int).mean(axis=(0, 1))
    assert wall[0] - wall[2] < 40, "the orange suit does not bleed into the wall beside it"


def test_an_image_fills_the_canvas_behind_the_person(astronaut: Portrait, tmp_path: Path) -> None:
    scenery = np.zeros((300, 900, 3), np.uint8)
    scenery[:, 450:] = 255
    path = tmp_path / "scenery.png"
    cv2.imwrite(str(path), scenery)
    clear = np.dstack([astronaut.image, np.zeros(astronaut.image.shape[:2], np.uint8)])
    canvas = PortraitCompositor(astronaut, (1280, 720), "fit", str(path)).compose(clear)
    assert (canvas[:, 5] == 0).all()
    assert (canvas[:, -5] == 255).all()


def test_without_a_background_the_canvas_is_clear_there_and_keeps_the_photos_colours(astronaut: Portrait) -> None:
    kept = PortraitCompositor(astronaut, (640, 360), "fit").compose(astronaut.image)
    alpha = np.zeros(astronaut.image.shape[:2], np.uint8)
    alpha[:, : alpha.shape[1] // 2] = 255
    canvas = PortraitCompositor(astronaut, (640, 360), "fit", "none").compose(np.dstack([astronaut.image, alpha]))
    assert canvas.shape == (360, 640, 4)
    assert np.abs(canvas[..., :3].astype(int) - kept).max() <= 1, (
        "a codec finds no edge where there is none in the photo"
    )
    assert (canvas[:, :120, 3] == 0).all(), "no bars"
    assert (canvas[300:340, 270:330, 3] > 250).mean() > 0.9, "the suit, outside the square, stays"
    head = place_photo((512, 512), astronaut.crop, (640, 360), "fit").head
    rows = slice(head.top + 15, head.top + head.height - 15)
    assert (canvas[rows, head.left + 15 : head.left + head.width // 2 - 3, 3] == 255).all()
    assert (canvas[rows, head.left + head.width // 2 + 3 : head.left + head.width - 15, 3] == 0).all()


def test_without_a_background_a_renderer_without_alpha_keeps_the_photos_outline(astronaut: Portrait) -> None:
    compositor = PortraitCompositor(astronaut, (640, 360), "crop", "none")
    canvas = compositor.compose(astronaut.image)
    opaque = compositor.compose(np.dstack([astronaut.image, np.full(astronaut.image.shape[:2], 255, np.uint8)]))
    assert np.abs(canvas[..., :3].astype(int) - opaque[..., :3]).max() <= 1
    assert canvas[5, 30, 3] == 0
    face = place_photo((512, 512), astronaut.crop, (640, 360), "crop").head
    assert canvas[face.top + face.height // 2, face.left + face.width // 2, 3] == 255


def test_the_badge_is_seen_where_there_is_no_background(astronaut: Portrait) -> None:
    plain, badged = (PortraitCompositor(astronaut, (1280, 720), "fit", "none", badge=on) for on in (False, True))
    clear = np.dstack([astronaut.image, np.zeros(astronaut.image.shape[:2], np.uint8)])
    one, other = plain.compose(clear), badged.compose(clear)
    changed = (one != other).any(axis=2)
    assert (one[changed][:, 3] == 0).all()
    assert (other[changed][:, 3] > 100).mean() > 0.9
    assert np.abs(other[..., :3][changed].astype(int) - 20).min() == 0, "its own dark, not the photo's colour behind it"


def test_a_background_that_is_none_names_the_nearest(astronaut: Portrait, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean blur"):
        PortraitCompositor(astronaut, background="blurr")
    with pytest.raises(SourceError, match="no photo at"):
        PortraitCompositor(astronaut, background=str(tmp_path / "beach.jpg"))


@pytest.mark.parametrize("fit", FITS)
def test_the_badge_is_seen_on_every_frame(fit: Fit) -> None:
    portrait = a_portrait(640, 480, PixelSquare(150, 60, 300))
    plain = PortraitCompositor(portrait, (1280, 720), fit)
    badged = PortraitCompositor(portrait, (1280, 720), fit, badge=True)
    for tone in (0, 255):
        picture = np.full((256, 256, 3), tone, np.uint8)
        changed = (plain.compose(picture) != badged.compose(picture)).any(axis=2)
        rows, columns = np.nonzero(changed)
        assert changed.sum() > 1500
        assert rows.max() < 80
        assert columns.max() < 200


def test_a_cross_fade_goes_from_the_old_picture_to_the_new() -> None:
    fade = CrossFade(0.3)
    old, new = np.full((8, 8, 3), 200, np.uint8), np.full((8, 8, 3), 100, np.uint8)
    assert fade.blend(new, 0) is new
    fade.start(old, 1_000_000_000)
    levels = [int(fade.blend(new, 1_000_000_000 + round(t * 3e7))[0, 0, 0]) for t in range(10)]
    assert levels[0] == 200
    assert levels[5] == 150
    assert levels == sorted(levels, reverse=True)
    assert fade.blend(new, 1_310_000_000) is new
    assert not fade.active


def test_a_cross_fade_ends_when_the_canvas_changes_size() -> None:
    fade = CrossFade(0.3)
    fade.start(np.zeros((8, 8, 3), np.uint8), 0)
    other = np.zeros((16, 8, 3), np.uint8)
    assert fade.blend(other, 1) is other
    assert not fade.active
