"""The studio page in a real Chromium, before a camera that shows a face, against a real ``livehead serve``."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from livehead.assembly.synthetic_performer import ASTRONAUT_PHOTO, DRAWN_PORTRAIT, bundled_portrait, render_driving
from livehead.bench.harness.camera_files import write_mjpeg
from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, fake_device_flags, find_chromium
from livehead.bench.webrtc import run_server
from livehead.motion.face.face_rig import FaceControls, FaceRig
from livehead.motion.face.lips import lip_gaps
from livehead.perception.face_mesh import FaceMeshTracker

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")

WAIT_S = 40.0  # generous: CI's two cores also run the browser


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fake camera's file: the astronaut opens and closes her mouth once a second."""
    portrait = bundled_portrait(ASTRONAUT_PHOTO)
    rig = FaceRig(portrait.motion)
    motions = [
        rig.pose_face(FaceControls(jaw=0.5 - 0.5 * float(np.cos(number * np.pi / 15))), 0) for number in range(30)
    ]
    path = tmp_path_factory.mktemp("camera") / "speaker.mjpeg"
    write_mjpeg(render_driving(portrait, (480, 360), motions), path)
    return path


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with run_server(
        "--model", "warp", "--avatar", str(DRAWN_PORTRAIT), "--size", "256x256", "--render-size", "128"
    ) as served:
        yield served.url


@pytest.fixture(scope="module")
def browser(speaker: Path) -> Iterator[HeadlessChromium]:
    with HeadlessChromium(fake_device_flags(speaker)) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def studio(browser: HeadlessChromium, address: str) -> BrowserTab:
    """A page that has joined."""
    tab = browser.open_tab(address)
    tab.resize(1200, 900)
    tab.evaluate("document.getElementById('mirror').click(); document.getElementById('join').click()")
    tab.wait_until("document.getElementById('avatar').videoWidth", WAIT_S)
    return tab


def text(tab: BrowserTab, name: str) -> str:
    return str(tab.evaluate(f"document.getElementById('{name}').textContent"))


def picture(tab: BrowserTab, name: str = "avatar") -> np.ndarray:
    """What a video element shows: uint8 [H, W, 3] RGB."""
    data = tab.evaluate(f"""(() => {{
        const video = document.getElementById('{name}');
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
        canvas.getContext('2d').drawImage(video, 0, 0);
        return canvas.toDataURL('image/png');
    }})()""")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB"))


def choose(tab: BrowserTab, name: str, path: Path) -> None:
    """A file in an input element, as if the person had chosen it."""
    root = tab.call("DOM.getDocument")["root"]["nodeId"]
    node = tab.call("DOM.querySelector", nodeId=root, selector=f"#{name}")["nodeId"]
    tab.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)


def test_the_avatar_speaks_as_the_person_before_the_camera_does(studio: BrowserTab) -> None:
    assert text(studio, "connection") == "connected"
    shown = "document.getElementById('avatar').getVideoPlaybackQuality().totalVideoFrames"
    before = studio.evaluate(shown)
    studio.wait_until(f"{shown} > {before + 20}", WAIT_S)
    openings = []
    with FaceMeshTracker(static=True) as mesh:
        for _ in range(16):
            faces = mesh.detect(picture(studio))
            if faces:
                openings.append(float(lip_gaps(faces[0].points3d()[0]).mean()))
            studio.evaluate("new Promise((done) => setTimeout(done, 90))")
    assert len(openings) >= 12
    assert max(openings) - min(openings) > 0.04  # of half the picture's side; an idle mouth stays within 0.01


def test_live_figures_are_told(studio: BrowserTab) -> None:
    studio.wait_until("document.getElementById('latency').textContent.endsWith('ms')", WAIT_S)
    assert float(text(studio, "fps").split()[0]) > 1
    assert text(studio, "render_ms").endswith("px")


def test_a_background_colour_is_shown(studio: BrowserTab) -> None:
    studio.evaluate("""(() => {
        const [background, colour] = ['background', 'colour'].map((id) => document.getElementById(id));
        background.value = 'colour';
        colour.value = '#10c040';
        background.dispatchEvent(new Event('change'));
    })()""")

    def corner() -> np.ndarray:
        return picture(studio)[8:24, 8:24].reshape(-1, 3).mean(axis=0)

    for _ in range(200):
        if np.abs(corner() - (16, 192, 64)).max() < 20:
            return
        studio.evaluate("new Promise((done) => setTimeout(done, 100))")
    raise AssertionError(f"the corner stays {corner()}, {text(studio, 'problem')}")


def test_the_panic_key_holds_the_picture_and_lets_it_go(studio: BrowserTab) -> None:
    def press() -> None:
        studio.evaluate("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'f', bubbles: true}))")

    press()
    studio.wait_until("!document.getElementById('frozen').hidden", WAIT_S)
    studio.evaluate("new Promise((done) => setTimeout(done, 700))")
    held = [picture(studio).astype(int) for _ in range(4)]
    assert max(np.abs(each - held[0]).mean() for each in held) < 1.0
    press()
    studio.wait_until("document.getElementById('frozen').hidden", WAIT_S)


def test_a_photo_without_a_face_gets_a_plain_sentence_and_the_avatar_stays(studio: BrowserTab, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "wall.png")
    choose(studio, "photo", tmp_path / "wall.png")
    studio.wait_until("document.getElementById('problem').textContent", WAIT_S)
    assert text(studio, "problem").startswith("No face was found in your photo")


def test_another_photo_becomes_the_avatar(studio: BrowserTab) -> None:
    before = picture(studio).astype(int)
    choose(studio, "photo", ASTRONAUT_PHOTO)
    for _ in range(200):
        if np.abs(picture(studio).astype(int) - before).mean() > 15:
            break
        studio.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert text(studio, "problem") == ""
    assert np.abs(picture(studio).astype(int) - before).mean() > 15


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of two people: the drawn one, larger, and the astronaut to the right."""
    scene = Image.new("RGB", (1100, 600), (120, 130, 140))
    scene.paste(Image.open(DRAWN_PORTRAIT).convert("RGB").resize((560, 560)), (10, 20))
    scene.paste(Image.open(ASTRONAUT_PHOTO).convert("RGB").crop((60, 0, 360, 300)).resize((500, 500)), (590, 60))
    path = tmp_path_factory.mktemp("photos") / "pair.jpg"
    scene.save(path, quality=92)
    return path


@pytest.fixture(scope="module")
def close_studio(browser: HeadlessChromium) -> Iterator[BrowserTab]:
    """A page that has joined a server which shows nothing but the head and shoulders of the chosen face."""
    size = ("--size", "256x256", "--render-size", "128", "--fit", "crop")
    with run_server("--model", "warp", "--avatar", str(DRAWN_PORTRAIT), *size) as served:
        tab = browser.open_tab(served.url)
        tab.resize(1200, 900)
        tab.evaluate("document.getElementById('join').click()")
        tab.wait_until("document.getElementById('avatar').videoWidth", WAIT_S)
        yield tab


def test_of_a_photo_with_two_faces_one_is_chosen_by_a_click_or_a_key(close_studio: BrowserTab, pair: Path) -> None:
    studio = close_studio

    def await_picture(*, is_astronaut: bool) -> None:
        for _ in range(100):
            red, _, blue = picture(studio)[:40, :40].reshape(-1, 3).mean(axis=0)
            if (blue < red + 10) == is_astronaut:  # her wall is grey, the drawn one blue
                return
            studio.evaluate("new Promise((done) => setTimeout(done, 100))")
        raise AssertionError("the picture still shows the other one")

    def await_choice(number: int) -> None:
        pressed = f"document.querySelector('#faces [data-face=\"{number}\"][aria-pressed=true]')"
        studio.wait_until(f"{pressed} && !document.getElementById('message').textContent", WAIT_S)

    choose(studio, "photo", pair)
    await_choice(1)
    assert text(studio, "which") == "There are 2 faces in your photo. Choose the one to animate:"
    studio.wait_until("document.getElementById('group').naturalWidth", WAIT_S)
    await_picture(is_astronaut=False)
    boxes = studio.evaluate("""[...document.querySelectorAll('#faces button')].map((button) => {
        const [box, photo] = [button, document.getElementById('group')].map((each) => each.getBoundingClientRect());
        return (box.left + box.width / 2 - photo.left) / photo.width * 1100;
    })""")
    assert boxes == pytest.approx([290, 845], abs=60)
    studio.evaluate("document.querySelector('#faces [data-face=\"2\"]').click()")
    await_choice(2)
    await_picture(is_astronaut=True)
    studio.evaluate("document.querySelector('#faces [data-face=\"1\"]').focus()")
    for kind in ("keyDown", "keyUp"):
        studio.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    await_choice(1)
    await_picture(is_astronaut=False)
    assert text(studio, "problem") == ""


def test_the_faces_go_when_a_photo_has_but_one(close_studio: BrowserTab) -> None:
    choose(close_studio, "photo", ASTRONAUT_PHOTO)
    close_studio.wait_until("document.getElementById('faces').hidden", WAIT_S)


def test_a_recording_comes_back_as_a_film(studio: BrowserTab) -> None:
    studio.evaluate("document.getElementById('record').click()")
    studio.wait_until("!document.getElementById('recording').hidden", WAIT_S)
    studio.evaluate("new Promise((done) => setTimeout(done, 1500))")
    studio.evaluate("document.getElementById('record').click()")
    studio.wait_until("!document.getElementById('download').hidden", WAIT_S)
    film = studio.evaluate("""new Promise((done) => {
        const video = document.createElement('video');
        video.onloadedmetadata = () => done([video.videoWidth, video.videoHeight, video.duration]);
        video.onerror = () => done(video.error.message);
        video.src = document.getElementById('file').href;
    })""")
    assert film[:2] == [256, 256]
    assert 0.5 < film[2] < 20


def test_whoever_has_the_link_can_watch(studio: BrowserTab, browser: HeadlessChromium) -> None:
    link = studio.evaluate("document.getElementById('link').value")
    assert "/watch#key=" in link
    viewer = browser.open_tab(link)
    viewer.wait_until("document.getElementById('avatar').videoWidth", WAIT_S)
    assert picture(viewer).shape == (256, 256, 3)
    assert picture(viewer).std() > 20
    studio.wait_until("document.getElementById('receivers').textContent === '1'", WAIT_S)
    viewer.evaluate("window.close()")


def test_every_control_has_a_name_for_a_screen_reader(studio: BrowserTab) -> None:
    nodes = studio.call("Accessibility.getFullAXTree")["nodes"]
    reachable = [
        node
        for node in nodes
        if any(each["name"] == "focusable" and each["value"]["value"] for each in node.get("properties", []))
    ]
    assert len(reachable) > 15
    nameless = [node["role"]["value"] for node in reachable if not node.get("name", {}).get("value")]
    assert set(nameless) <= {"RootWebArea", "generic"}, nameless


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_nothing_sticks_out_at_any_width(studio: BrowserTab, width: int) -> None:
    studio.resize(width, 800, phone=width < 500)
    assert studio.evaluate("document.documentElement.scrollWidth") <= width
    assert studio.evaluate("document.getElementById('join').getBoundingClientRect().width") > 60


def test_a_refused_permission_gets_a_plain_sentence(address: str) -> None:
    with HeadlessChromium(fake_device_flags(allowed=False)) as strict:
        tab = strict.open_tab(address)
        tab.evaluate("document.getElementById('join').click()")
        tab.wait_until("document.getElementById('problem').textContent", WAIT_S)
        assert text(tab, "problem").startswith("The browser may not use the camera")


def test_a_missing_camera_gets_a_plain_sentence(browser: HeadlessChromium, address: str) -> None:
    tab = browser.open_tab(address)
    tab.evaluate("""navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotFoundError"));
        document.getElementById('join').click()""")
    tab.wait_until("document.getElementById('problem').textContent", WAIT_S)
    assert text(tab, "problem").startswith("There is no such camera")


def test_after_a_restart_of_the_server_the_page_comes_back_by_itself(browser: HeadlessChromium) -> None:
    arguments = ("--model", "warp", "--size", "256x256", "--render-size", "128")
    with run_server(*arguments) as first:
        port = first.url.rstrip("/").rpartition(":")[2]
        tab = browser.open_tab(first.url)
        tab.evaluate("document.getElementById('join').click()")
        tab.wait_until("document.getElementById('avatar').videoWidth", WAIT_S)
    tab.wait_until("document.getElementById('connection').textContent.startsWith('connecting')", WAIT_S)
    with run_server(*arguments, port=int(port)):
        tab.wait_until("document.getElementById('connection').textContent === 'connected'", WAIT_S)
        shown = "document.getElementById('avatar').getVideoPlaybackQuality().totalVideoFrames"
        before = tab.evaluate(shown)
        tab.wait_until(f"{shown} > {before + 10}", WAIT_S)
