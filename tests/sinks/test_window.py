"""A real window on an X server without a screen (Xvfb): its pixels are read from there, its keys come from xdotool."""

from __future__ import annotations

import asyncio
import ctypes
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest

from livehead.clock import now_ns
from livehead.errors import SinkError
from livehead.frames import Image, VideoFrame
from livehead.sinks.window import WindowKey, WindowSink

RED, BLUE = 0, 2
MISSING = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
needs_screen = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (apt-get install xvfb xdotool)"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-noreset", "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    yield f":{server.stdout.readline().strip()}"
    server.terminate()
    server.wait()


@pytest.fixture
def screen(display: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DISPLAY", display)
    return display


async def command(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    return output.decode().strip()


async def press(key: str) -> None:
    await command(
        "xdotool", "search", "--sync", "--onlyvisible", "--name", "^livehead$", "windowfocus", "--sync", "key", key
    )


class ClientMessage(ctypes.Structure):
    """Xlib's XClientMessageEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 24),
    )


def close(screen: str, window: int) -> None:
    """What a window manager does when the person presses the window's cross."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(x11.XOpenDisplay(screen.encode()))
    event = ClientMessage(type=33, window=window, format=32)
    event.message_type = x11.XInternAtom(display, b"WM_PROTOCOLS", 0)
    event.data[0] = x11.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
    x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
    x11.XCloseDisplay(display)


def screenshot(screen: str) -> Image:
    """uint8 [600, 800, 3] RGB."""
    with av.open(screen, format="x11grab", options={"draw_mouse": "0", "video_size": "800x600"}) as grabbed:
        image: Image = next(grabbed.decode(video=0)).to_ndarray(format="rgb24")
    return image


def frame(image: Image) -> VideoFrame:
    return VideoFrame(image, 0, Fraction(1, 30), now_ns())


def halves() -> Image:
    """Red on the left, blue on the right."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[:, :160, 0] = 220
    image[:, 160:, 2] = 220
    return image


class Keys:
    """The keys that came."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[WindowKey] = asyncio.Queue()

    def __call__(self, key: WindowKey) -> None:
        self._queue.put_nowait(key)

    async def next(self) -> WindowKey:
        return await asyncio.wait_for(self._queue.get(), 3)

    @property
    def waiting(self) -> int:
        return self._queue.qsize()


async def show(sink: WindowSink, count: int) -> None:
    for _ in range(count):
        await sink.send(frame(halves()))
        await asyncio.sleep(0.03)


async def seen(sink: WindowSink, image: Image, screen: str, looks: Callable[[Image], bool]) -> bool:
    """Whether the screen comes to look as it should while ``image`` is shown; a busy machine may need a moment."""
    for attempt in range(60):
        if attempt % 20 == 19:
            # with no window manager on the screen, Qt now and then misses that its window was shown
            await command("xdotool", "search", "--name", "^livehead$", "windowunmap", "--sync", "windowmap", "--sync")
        await sink.send(frame(image))
        await asyncio.sleep(0.03)
        if looks(await asyncio.to_thread(screenshot, screen)):
            return True
    return False


def stands_left(colour: int, other: int) -> Callable[[Image], bool]:
    """Of the two channels, whether much of both is on the screen, ``colour`` to the left."""

    def looks(shot: Image) -> bool:
        left, right = (np.nonzero(shot[..., channel] > 128)[1] for channel in (colour, other))
        # what the letters add to both is white and small
        return len(left) > 5_000 and len(right) > 5_000 and left.mean() < right.mean()

    return looks


def lines_at_top_and_bottom(shot: Image) -> bool:
    rows = np.nonzero((shot.min(axis=2) > 200).any(axis=1))[0]
    return len(rows) > 6 and rows.max() - rows.min() > 150


@needs_screen
@pytest.mark.usefixtures("screen")
class TestOnAScreen:
    @pytest.fixture
    async def keys(self) -> Keys:
        return Keys()

    @pytest.fixture
    async def window(self, keys: Keys) -> AsyncIterator[WindowSink]:
        async with WindowSink(on_key=keys) as sink:
            await sink.send(frame(halves()))
            yield sink

    async def test_the_person_sees_himself_as_in_a_mirror_until_he_presses_m(
        self, window: WindowSink, keys: Keys, screen: str
    ) -> None:
        assert await seen(window, halves(), screen, stands_left(BLUE, RED))
        await press("m")
        assert await keys.next() is WindowKey.MIRROR
        assert await seen(window, halves(), screen, stands_left(RED, BLUE))

    async def test_each_key_arrives_as_what_it_means_while_no_picture_comes(
        self, window: WindowSink, keys: Keys
    ) -> None:
        meant = {
            "r": WindowKey.RECALIBRATE,
            "n": WindowKey.NEXT_AVATAR,
            "f": WindowKey.FREEZE,
            "g": WindowKey.NEXT_GAIN,
            "plus": WindowKey.GAIN_UP,
            "minus": WindowKey.GAIN_DOWN,
            "Escape": WindowKey.QUIT,
            "q": WindowKey.QUIT,
        }
        for key, meaning in meant.items():
            await press(key)
            assert await keys.next() is meaning
            assert keys.waiting == 0

    async def test_a_key_without_a_meaning_is_ignored(self, window: WindowSink, keys: Keys) -> None:
        await press("z")
        await press("f")
        assert await keys.next() is WindowKey.FREEZE

    async def test_figures_are_written_over_the_picture(self, screen: str) -> None:
        grey = np.full((240, 320, 3), 90, np.uint8)
        async with WindowSink(mirror=False, status_text=lambda: "mouth 1.2") as sink:
            assert await seen(sink, grey, screen, lines_at_top_and_bottom)
            await show(sink, 3)
            assert sink.fps > 0

    async def test_closing_the_window_is_quit_and_ends_this_sink_alone(
        self, window: WindowSink, keys: Keys, screen: str
    ) -> None:
        close(screen, int(await command("xdotool", "search", "--onlyvisible", "--name", "^livehead$")))
        assert await keys.next() is WindowKey.QUIT
        with pytest.raises(SinkError, match="was closed"):
            await show(window, 1)

    async def test_a_screen_that_goes_away_ends_this_sink_alone(self, window: WindowSink) -> None:
        await command("xdotool", "search", "--onlyvisible", "--name", "^livehead$", "windowkill")
        with pytest.raises(SinkError, match="was closed"):
            await show(window, 50)

    async def test_windows_can_follow_each_other_in_one_process(self) -> None:
        for _ in range(2):
            async with WindowSink() as sink:
                await sink.send(frame(halves()))


async def test_without_a_screen_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SinkError, match="no screen for a preview window: start it on a desktop"):
        async with WindowSink():
            pass


async def test_a_screen_that_is_not_there_does_not_take_livehead_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(SinkError, match="no window can be opened on screen :4711"):
        async with WindowSink():
            pass


async def test_a_screen_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{silent.getsockname()[1] - 6000}")
        with pytest.raises(SinkError, match="no window can be opened"):
            async with WindowSink(open_timeout_s=1.0):
                pass
