"""The browser extension in a real Chromium: on pages of other sites, against the studio's own page and server."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from livehead.bench.harness.chromium import BrowserTab, HeadlessChromium, find_chromium
from livehead.server.access import EXTENSION_ORIGIN
from tests.fixtures.studio import serving
from tests.plugins.conftest import (
    AVATAR_COLOUR,
    CAMERA_COLOUR,
    CARD_COLOUR,
    EXTENSION_FOLDER,
    OPTIONS,
    PLAIN,
    STRICT,
    WAIT_S,
    browser_flags,
    join,
    point_at,
    studio_server,
    until_shown,
)

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")

GONE_S = 60.0  # ICE notices in half a minute that a peer is gone which could not say so
REAL = "colours.mjpeg"  # Chromium calls a camera that plays a file by its path; to the page, it is the real one


@pytest.fixture(scope="module")
def browser(site: int, camera_file: Path) -> Iterator[HeadlessChromium]:
    with HeadlessChromium(browser_flags(site, camera_file), extension=EXTENSION_FOLDER) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with studio_server() as served:
        yield served


@pytest.fixture(scope="module")
def options(browser: HeadlessChromium, address: str) -> BrowserTab:
    return point_at(browser, address)


@pytest.fixture(scope="module")
def studio(browser: HeadlessChromium, options: BrowserTab, address: str) -> BrowserTab:
    return join(browser, address)


@pytest.fixture
def page(browser: HeadlessChromium, studio: BrowserTab) -> Iterator[BrowserTab]:
    tab = browser.open_tab(f"https://{STRICT}/")
    yield tab
    assert tab.evaluate("call.problems") == []
    tab.call("Page.close")


@pytest.fixture(scope="module")
def caller(browser: HeadlessChromium, studio: BrowserTab) -> BrowserTab:
    """One page for the tests that leave nothing behind that another would mind."""
    return browser.open_tab(f"https://{STRICT}/")


def labels(tab: BrowserTab, kind: str) -> list[str]:
    shown = tab.evaluate(f"call.devices().then((all) => all.filter((e) => e.kind === '{kind}').map((e) => e.label))")
    return [Path(label).name for label in shown]


def test_the_extension_s_name_follows_from_its_key() -> None:
    key = base64.b64decode(json.loads((EXTENSION_FOLDER / "manifest.json").read_text())["key"])
    digits = hashlib.sha256(key).hexdigest()[:32]
    assert f"chrome-extension://{''.join(chr(ord('a') + int(digit, 16)) for digit in digits)}" == EXTENSION_ORIGIN


def test_a_second_peer_sees_the_avatar(page: BrowserTab) -> None:
    assert labels(page, "videoinput") == [REAL, "livehead"]  # the real one stays the first
    page.evaluate("call.choose('livehead').then(() => call.dial())")
    until_shown(page, "remote", AVATAR_COLOUR)
    before = page.evaluate("call.pictures('remote')")
    page.wait_until(f"call.pictures('remote') > {before + 20}", WAIT_S)


def test_the_page_s_own_rules_forbid_what_the_extension_does_for_it(
    page: BrowserTab, browser: HeadlessChromium, address: str
) -> None:
    """The stand-in would prove nothing if it were not strict."""
    ask = f"fetch('http://{address}/health', {{ mode: 'no-cors' }}).then(() => 'allowed', (error) => 'forbidden')"
    assert page.evaluate(ask) == "forbidden"
    assert page.evaluate("call.problems.splice(0)") == ["connect-src"]
    plain = browser.open_tab(f"https://{PLAIN}/")
    assert plain.evaluate(ask) == "forbidden"  # a public page, an address of this machine
    assert plain.evaluate("call.problems") == []
    plain.evaluate("call.choose('livehead')")
    until_shown(plain, "local", AVATAR_COLOUR)
    plain.call("Page.close")


@pytest.mark.parametrize(
    "constraints",
    [
        "{ video: true }",
        "{ video: { facingMode: 'user', width: 320 } }",
        "{ video: { deviceId: { ideal: 'another' } } }",
    ],
)
def test_who_does_not_ask_for_livehead_gets_the_real_camera(caller: BrowserTab, constraints: str) -> None:
    take = f"navigator.mediaDevices.getUserMedia({constraints})"
    assert caller.evaluate(f"{take}.then((stream) => show('local', stream).getTracks()[0].label)").endswith(REAL)
    until_shown(caller, "local", CAMERA_COLOUR)


def test_the_track_tells_of_itself_what_a_camera_tells(caller: BrowserTab) -> None:
    told = caller.evaluate("""call.choose('livehead', { frameRate: { max: 20 } }).then((track) => ({
        label: track.label, settings: track.getSettings(), able: track.getCapabilities(), asked: track.getConstraints(),
        clone: call.stream.clone().getTracks()[0].clone().getSettings().deviceId }))""")
    assert told["label"] == "livehead"
    assert told["clone"] == told["settings"]["deviceId"] == told["able"]["deviceId"] == "livehead-camera"
    assert (told["settings"]["width"], told["settings"]["height"], told["able"]["width"]["max"]) == (128, 96, 128)
    assert told["settings"]["facingMode"] == "user"
    assert told["asked"] == {"deviceId": {"exact": "livehead-camera"}, "frameRate": {"max": 20}}


def test_a_page_can_have_the_picture_smaller(page: BrowserTab) -> None:
    page.evaluate("call.choose('livehead').then((track) => track.applyConstraints({ width: 64, height: 48 }))")
    page.wait_until("document.getElementById('local').videoWidth === 64", WAIT_S)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("deviceId: { exact: 'livehead-camera' }, width: { min: 4000 }", "OverconstrainedError width"),
        (
            "deviceId: { exact: 'livehead-camera' }, facingMode: { exact: 'environment' }",
            "OverconstrainedError facingMode",
        ),
        ("deviceId: { exact: 'livehead-microphone' }", "OverconstrainedError deviceId"),
    ],
)
def test_what_cannot_be_is_refused_as_the_browser_refuses_it(caller: BrowserTab, asked: str, error: str) -> None:
    assert caller.evaluate(f"call.refusal({{ video: {{ {asked} }} }})") == error


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ("'livehead-camera'", "livehead"),
        ("['livehead-camera', 'another']", "livehead"),
        ("{ ideal: 'livehead-camera' }", "livehead"),
        ("{ ideal: ['another', 'livehead-camera'] }", REAL),
    ],
)
def test_an_id_is_understood_in_all_its_spellings(caller: BrowserTab, asked: str, label: str) -> None:
    take = f"navigator.mediaDevices.getUserMedia({{ video: {{ deviceId: {asked} }} }})"
    assert caller.evaluate(f"{take}.then((stream) => stream.getTracks()[0].label)").endswith(label)


def test_a_real_microphone_comes_with_livehead_s_camera(caller: BrowserTab) -> None:
    asked = "{ audio: true, video: { deviceId: 'livehead-camera' } }"
    kinds = caller.evaluate(f"""navigator.mediaDevices.getUserMedia({asked})
        .then((stream) => stream.getTracks().map((track) => track.label))""")
    assert sorted(kinds) == ["Fake Default Audio Input", "livehead"]


def test_the_voice_comes_through_livehead_s_microphone(page: BrowserTab) -> None:
    page.evaluate("call.choose('livehead microphone').then(() => call.dial())")
    assert page.evaluate("call.level(call.stream, 0.1, 5000)") > 0.1  # Chromium's fake microphone beeps
    page.wait_until("!!call.heard", WAIT_S)
    assert page.evaluate("call.level(call.heard, 0.1, 5000)") > 0.1


def test_the_page_s_functions_still_look_like_the_browser_s(caller: BrowserTab) -> None:
    sight = """['getUserMedia', 'enumerateDevices'].map((name) => {
        const own = MediaDevices.prototype[name];
        return [own.name, own.length, /\\[native code\\]/.test(own), Object.keys(window).includes('livehead')];
    })"""
    assert caller.evaluate(sight) == [["getUserMedia", 0, True, False], ["enumerateDevices", 0, True, False]]
    assert caller.evaluate("'livehead' in window") is False


def test_a_stopped_camera_leaves_the_server_and_so_does_a_closed_page(
    browser: HeadlessChromium, caller: BrowserTab, studio: BrowserTab
) -> None:
    watched_by = "Number(document.getElementById('receivers').textContent) === {}"
    caller.evaluate("call.choose('livehead')")
    studio.wait_until(watched_by.format(1), GONE_S)  # the pages of earlier tests have left
    tab = browser.open_tab(f"https://{STRICT}/")
    tab.evaluate("call.choose('livehead')")
    studio.wait_until(watched_by.format(2), WAIT_S)
    tab.evaluate("call.stream.getTracks()[0].stop()")
    studio.wait_until(watched_by.format(1), WAIT_S)
    tab.evaluate("call.choose('livehead')")
    studio.wait_until(watched_by.format(2), WAIT_S)
    tab.call("Page.close")
    studio.wait_until(watched_by.format(1), WAIT_S)


def test_the_studio_is_not_offered_its_own_picture(studio: BrowserTab) -> None:
    names = studio.evaluate("navigator.mediaDevices.enumerateDevices().then((all) => all.map((each) => each.label))")
    assert any(name.endswith(REAL) for name in names)
    assert not [name for name in names if "livehead" in name]


def test_another_page_cannot_say_which_studio_is_shown(caller: BrowserTab) -> None:
    caller.evaluate("document.dispatchEvent(new CustomEvent('livehead-session', { detail: 'a key of mine' }))")
    caller.evaluate("call.choose('livehead')")
    until_shown(caller, "local", AVATAR_COLOUR)


def test_the_options_say_that_all_is_ready_and_keep_what_is_chosen(options: BrowserTab, page: BrowserTab) -> None:
    options.wait_until("document.getElementById('light').textContent === 'Ready'", WAIT_S)
    before = page.evaluate("call.changes ?? 0")
    options.evaluate("document.getElementById('microphone').click(), document.querySelector('button.main').click()")
    options.wait_until("document.getElementById('message').textContent === 'Saved.'", WAIT_S)
    page.wait_until(f"(call.changes ?? 0) > {before}", WAIT_S)
    assert "livehead microphone" not in labels(page, "audioinput")
    options.evaluate("document.getElementById('microphone').click(), document.querySelector('button.main').click()")
    page.wait_until(f"(call.changes ?? 0) > {before + 1}", WAIT_S)


def test_a_token_in_the_address_is_put_where_it_belongs(browser: HeadlessChromium) -> None:
    tab = browser.open_tab(OPTIONS)
    tab.wait_until("document.getElementById('server').value", WAIT_S)
    tab.evaluate("""(() => {
        const server = document.getElementById('server');
        server.value = 'https://studio.example/#token=sixteen%20or%20more';
        server.dispatchEvent(new Event('change'));
    })()""")
    assert tab.evaluate("[server.value, token.value]") == ["https://studio.example", "sixteen or more"]
    tab.call("Page.close")


def test_a_card_becomes_the_avatar_which_freezes_while_the_server_is_gone_and_comes_back(
    site: int, camera_file: Path
) -> None:
    with HeadlessChromium(browser_flags(site, camera_file), extension=EXTENSION_FOLDER) as browser:
        with studio_server() as address:
            options = point_at(browser, address)
            tab = browser.open_tab(f"https://{STRICT}/")
            assert (
                tab.evaluate("call.choose('livehead').then((track) => (call.track = track).getSettings().width)")
                == 1280
            )
            until_shown(tab, "local", CARD_COLOUR)
            studio = join(browser, address)
            until_shown(tab, "local", AVATAR_COLOUR)
            assert tab.evaluate("call.track.getSettings().width") == 128
            tab.evaluate("call.dial()")
            until_shown(tab, "remote", AVATAR_COLOUR)
        studio.wait_until("document.getElementById('connection').textContent !== 'connected'", WAIT_S)
        options.wait_until("document.getElementById('light').textContent.includes('does not answer')", WAIT_S)
        frozen = tab.evaluate("call.pictures('remote')")
        time.sleep(1)
        assert tab.evaluate("[call.pictures('remote'), call.track.readyState]") == [frozen, "live"]
        with studio_server(int(address.rpartition(":")[2])):
            tab.wait_until(f"call.pictures('remote') > {frozen + 20}", WAIT_S)
            until_shown(tab, "remote", AVATAR_COLOUR)
            assert tab.evaluate("call.track === call.stream.getTracks()[0] && call.track.readyState") == "live"


def test_a_server_without_the_flag_is_told_of_in_the_options(options: BrowserTab, address: str) -> None:
    with serving() as plain:
        options.evaluate(f"chrome.storage.local.set({{ server: 'http://{plain}' }})")
        options.wait_until(
            "document.getElementById('light').textContent.includes('does not know this extension')", WAIT_S
        )
        assert "--extension" in options.evaluate("document.getElementById('advice').textContent")
        options.evaluate(f"chrome.storage.local.set({{ server: 'http://{address}' }})")


def test_who_may_not_use_the_camera_gets_nothing_and_learns_nothing(site: int, camera_file: Path) -> None:
    flags = browser_flags(site, camera_file, allowed=False)
    with studio_server() as address, HeadlessChromium(flags, extension=EXTENSION_FOLDER) as browser:
        point_at(browser, address)
        tab = browser.open_tab(f"https://{STRICT}/")
        assert labels(tab, "videoinput") == [""]
        assert tab.evaluate("call.refusal({ video: { deviceId: { exact: 'livehead-camera' } } })") == "NotAllowedError"
        asked = ["devices", "ready", "watch", "leave", "nothing"]
        told = tab.evaluate(
            f"call.tell({json.dumps([{'ask': ask, 'number': 7, 'sdp': 'v=0'} for ask in asked])}, 1000)"
        )
        assert told == []
        assert tab.evaluate("call.refusal({ video: { deviceId: { exact: 'livehead-camera' } } })") == (
            tab.evaluate("call.refusal({ video: { deviceId: { exact: 'no-such-camera' } } })")
        )  # denied by now, and answered as without an extension


# how a page might have two readers of one description take it for two different ones
ATTACKS = {
    "honest": "",
    "inactive": ".replaceAll('a=recvonly', 'a=inactive-or-so\\r\\na=recvonly')",
    "formfeed": ".replaceAll('\\r\\n', '\\f')",
}


@contextmanager
def attacking(site: int, camera_file: Path, states: dict[str, str]) -> Iterator[tuple[HeadlessChromium, BrowserTab]]:
    """A studio that has joined, and a page under another name whose leave for devices is as in ``states``."""
    flags = browser_flags(site, camera_file)
    with studio_server() as address, HeadlessChromium(flags, extension=EXTENSION_FOLDER) as browser:
        point_at(browser, address)
        join(browser, address)
        for device, state in states.items():
            browser.set_permission(f"https://{STRICT}", device, state)
        yield browser, browser.open_tab(f"https://{STRICT}/")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_page_without_leave_gets_no_picture_and_no_sound_whatever_it_offers(
    attack: str, site: int, camera_file: Path
) -> None:
    with attacking(site, camera_file, {"camera": "denied", "microphone": "denied"}) as (_, tab):
        assert tab.evaluate(f"call.attack((sdp) => sdp{ATTACKS[attack]}, 2500)") == {"answered": False}


@pytest.mark.parametrize("attack", ATTACKS)
def test_leave_for_the_microphone_gives_no_picture_whatever_the_page_offers(
    attack: str, site: int, camera_file: Path
) -> None:
    with attacking(site, camera_file, {"camera": "denied", "microphone": "granted"}) as (_, tab):
        got = tab.evaluate(f"call.attack((sdp) => sdp{ATTACKS[attack]}, 2500)")
        assert got.get("pictures", 0) == 0
        if attack != "formfeed":  # lines that end so are no description to the browser, and its offer is refused
            assert got["sounds"] > 20


def test_pictures_end_at_once_when_leave_is_taken_away(site: int, camera_file: Path) -> None:
    with attacking(site, camera_file, {"camera": "granted", "microphone": "denied"}) as (browser, tab):
        tab.evaluate("call.choose('livehead').then((track) => { track.onended = () => (call.over = true) })")
        until_shown(tab, "local", AVATAR_COLOUR)
        assert tab.evaluate("call.attack((sdp) => sdp, 1500)")["answered"]  # a page that goes past page/*.js
        tab.wait_until("call.received().then((pictures) => pictures > 10)", WAIT_S)
        browser.set_permission(f"https://{STRICT}", "camera", "denied")
        time.sleep(0.5)
        before = tab.evaluate("call.received()")
        time.sleep(1)
        assert tab.evaluate("[call.over, call.stream.getTracks()[0].readyState]") == [True, "ended"]
        assert tab.evaluate("call.received()") == before
