"""The viewers' page without a background, in a real Chromium: what OBS's Browser Source shows."""

import io
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO
from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags, find_chromium
from livehead.bench.webrtc import run_server
from livehead.compositing.portrait_compositor import PortraitCompositor
from livehead.perception.photo import read_photo
from livehead.perception.portrait import prepare_portrait

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")

WAIT_S = 40.0
SIDE = 256


@pytest.fixture(scope="module")
def browser() -> Iterator[HeadlessChromium]:
    with HeadlessChromium([*fake_device_flags(), "--enable-unsafe-swiftshader"]) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def studio(browser: HeadlessChromium) -> Iterator[BrowserTab]:
    """A studio page that has joined, its avatar idle and without a background."""
    look = (
        "--model",
        "warp",
        "--avatar",
        str(ASTRONAUT_PHOTO),
        "--driver",
        "idle",
        "--background",
        "none",
        "--fit",
        "crop",
    )
    with run_server(*look, "--size", f"{SIDE}x{SIDE}", "--render-size", "128") as served:
        tab = browser.open_tab(served.url)
        tab.evaluate("document.getElementById('join').click()")
        tab.wait_until("document.getElementById('avatar').videoWidth", WAIT_S)
        yield tab


@pytest.fixture(scope="module")
def viewer(studio: BrowserTab, browser: HeadlessChromium) -> BrowserTab:
    """A page at the link that the studio gives, as large as its picture, on no ground of the browser's own."""
    link = studio.evaluate("document.getElementById('link').value")
    assert "/watch?transparent=1#key=" in link
    tab = browser.open_tab(link)
    tab.resize(SIDE, SIDE)
    tab.call("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
    tab.wait_until(f"document.getElementById('cutout').width === {SIDE}", WAIT_S)
    return tab


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """The avatar at rest: uint8 [SIDE, SIDE, 4] RGBA."""
    portrait = prepare_portrait(read_photo(ASTRONAUT_PHOTO), "astronaut")
    return PortraitCompositor(portrait, (SIDE, SIDE), "crop", "none").compose(portrait.image)


def page(tab: BrowserTab) -> np.ndarray:
    """The page as its compositor gives it: uint8 [H, W, 4] RGBA straight alpha."""
    return np.asarray(Image.open(io.BytesIO(tab.take_screenshot())).convert("RGBA"))


def regions(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of what is surely background, and surely person, whatever an idle head does."""
    person = (truth[..., 3] > 127).astype(np.uint8)
    around = np.ones((25, 25), np.uint8)
    return cv2.dilate(person, around) == 0, cv2.erode(person, around) == 1


def test_the_page_is_clear_around_the_avatar_and_solid_within(viewer: BrowserTab, truth: np.ndarray) -> None:
    background, person = regions(truth)
    assert min(background.sum(), person.sum()) > 4000
    shown = page(viewer)
    assert shown.shape == (SIDE, SIDE, 4)
    assert (shown[..., 3][background] == 0).all()
    assert (shown[..., 3][person] == 255).all()


def test_its_colours_are_the_avatars_also_where_the_outline_is_soft(viewer: BrowserTab, truth: np.ndarray) -> None:
    shown = page(viewer)
    _, person = regions(truth)
    difference = shown[..., :3].astype(int) - truth[..., :3]
    assert np.abs(difference[person].mean(axis=0)).max() < 6, "range and matrix are right"
    assert np.median(np.abs(difference[person])) < 12
    soft = (shown[..., 3] > 60) & (shown[..., 3] < 200)
    assert 30 < soft.sum() < 5000
    lost = shown[..., :3].astype(int)[soft].mean() - truth[..., :3].astype(int)[soft].mean()
    assert abs(lost) < 25, "multiplied by alpha once, not twice and not at all"


def test_both_ways_of_joining_agree(viewer: BrowserTab) -> None:
    """The one with WebGL runs here in software."""
    apart = viewer.evaluate("""(async () => {
        const { Cutout } = await import("/static/cutout.js");
        const video = document.createElement("canvas"); // stands still, as no stream does
        const source = document.getElementById("avatar");
        [video.width, video.height] = [source.videoWidth, source.videoHeight];
        video.getContext("2d").drawImage(source, 0, 0);
        [video.videoWidth, video.videoHeight] = [video.width, video.height];
        const read = (webgl) => {
            const canvas = document.createElement("canvas");
            const join = new Cutout(canvas, { webgl, software: true });
            if (webgl !== Boolean(join.gl)) return null;
            join.draw(video);
            const copy = document.createElement("canvas").getContext("2d");
            [copy.canvas.width, copy.canvas.height] = [canvas.width, canvas.height];
            copy.drawImage(canvas, 0, 0);
            return copy.getImageData(0, 0, canvas.width, canvas.height).data;
        };
        const [one, other] = [read(true), read(false)];
        if (one === null) return "no WebGL";
        let worst = 0;
        for (let at = 0; at < one.length; at += 4) {
            worst = Math.max(worst, Math.abs(one[at + 3] - other[at + 3]));
            if (one[at + 3] < 128) continue; // colours of what is nearly clear are rounded away
            for (let channel = 0; channel < 3; channel++) {
                worst = Math.max(worst, Math.abs(one[at + channel] - other[at + channel]));
            }
        }
        return worst;
    })()""")
    if apart == "no WebGL":
        pytest.skip("this Chromium has no WebGL, not even in software")
    assert apart <= 3


def test_nothing_of_the_page_itself_is_seen(viewer: BrowserTab) -> None:
    assert viewer.evaluate("document.getElementById('message').textContent") == ""
    assert viewer.evaluate("document.getElementById('unmute').hidden")
    assert viewer.evaluate("document.getElementById('avatar').muted")


def test_a_viewer_without_the_wish_sees_the_avatar_over_black(
    studio: BrowserTab, browser: HeadlessChromium, truth: np.ndarray
) -> None:
    link = studio.evaluate("document.getElementById('link').value").replace("?transparent=1", "")
    tab = browser.open_tab(link)
    tab.resize(SIDE, SIDE)
    tab.wait_until("document.getElementById('avatar').videoWidth", WAIT_S)
    tab.wait_until("document.getElementById('avatar').getVideoPlaybackQuality().totalVideoFrames > 3", WAIT_S)
    assert tab.evaluate("document.getElementById('avatar').videoWidth") == SIDE
    shown, (background, person) = page(tab), regions(truth)
    assert shown[..., :3][background].mean() < 12
    assert shown[..., :3][person].mean() > 60


def test_a_background_that_is_chosen_later_is_shown(studio: BrowserTab, viewer: BrowserTab) -> None:
    studio.evaluate("""(() => {
        const [background, colour] = ['background', 'colour'].map((id) => document.getElementById(id));
        background.value = 'colour';
        colour.value = '#10c040';
        background.dispatchEvent(new Event('change'));
    })()""")
    for _ in range(200):
        corner = page(viewer)[8:24, 8:24].reshape(-1, 4).astype(int)
        if (corner[:, 3] == 255).all():
            break
        viewer.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert (corner[:, 3] == 255).all()
    assert np.abs(corner[:, :3].mean(axis=0) - (16, 192, 64)).max() < 20
