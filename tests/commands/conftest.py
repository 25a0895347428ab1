from pathlib import Path

import av
import numpy as np
import pytest

ASSETS = Path(__file__).parents[2] / "livehead" / "assets"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that are compiled once for all tests."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that no test meets the avatars of another."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "compiled").symlink_to(compiled, target_is_directory=True)
    monkeypatch.setenv("LIVEHEAD_HOME", str(folder))
    return folder


@pytest.fixture
def photo() -> Path:
    return ASSETS / "astronaut.png"


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the synthetic performer with a tone, as a video."""
    from livehead.commands.performer import bundled_portrait, continuous_shots

    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    shots = continuous_shots(bundled_portrait(ASSETS / "drawn.png"), (320, 240), 10.0)[10:30]
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=10)
        picture.width, picture.height, picture.pix_fmt = 320, 240, "yuv420p"
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for shot in shots:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(shot.image, format="rgb24")))
        tone = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.rate = 16_000
        container.mux(sound.encode(frame))
        for stream in (picture, sound):
            container.mux(stream.encode(None))
    return path
