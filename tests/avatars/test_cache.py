"""What was prepared once is read back the same; what is damaged, foreign or gone is simply made again."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from livehead.avatars import cache as storing
from livehead.avatars.archive import ArchiveError, dump_archive, read_archive, write_archive
from livehead.avatars.cache import AvatarCache, MemoryAvatarStore
from livehead.frames import Image
from livehead.interfaces import RenderRequest
from livehead.motion.keypoints import MESH478, Array, Keypoints
from livehead.perception.photo import read_photo
from livehead.perception.portrait import Portrait, prepare_portrait
from livehead.renderers.warp.renderer import WarpRenderer

ASTRONAUT = Path(__file__).parents[2] / "livehead" / "assets" / "astronaut.png"


@dataclass(frozen=True)
class Layer:
    """A part of a sketch."""

    pixels: Image
    weight: float


@dataclass(frozen=True)
class Sketch:
    """An avatar with every kind of field that an archive takes."""

    motion: Keypoints
    title: str
    layers: tuple[Layer, ...]
    origin: tuple[int, str]
    matte: Array | None = None
    _drawn: dict[int, Image] = field(default_factory=dict)


class SketchRenderer:
    """Prepares sketches and counts them."""

    avatar_type = Sketch
    motion_sets = frozenset({MESH478})

    def __init__(self) -> None:
        self.prepared = 0

    def prepare(self, source: Portrait) -> Sketch:
        self.prepared += 1
        return a_sketch(source.name)

    def render(self, avatar: Sketch, motion: Keypoints, size: int) -> Image:
        return avatar.layers[0].pixels

    def render_many(self, requests: Sequence[RenderRequest[Sketch, Keypoints]]) -> list[Image]:
        return [self.render(request.avatar, request.motion, request.size) for request in requests]


def a_sketch(title: str = "ada") -> Sketch:
    random = np.random.default_rng(5)
    motion = Keypoints(
        MESH478, random.normal(size=(1, 478, 2)).astype(np.float32), None, None, np.ones(1, np.float32), 7
    )
    layers = tuple(Layer(random.integers(0, 255, (9, 7, 3), np.uint8), weight) for weight in (0.25, 1.0))
    return Sketch(motion, title, layers, (3, "left"), _drawn={64: layers[0].pixels})


@pytest.fixture(scope="module")
def photo() -> Image:
    return read_photo(ASTRONAUT)


@pytest.fixture(scope="module")
def portrait(photo: Image) -> Portrait:
    return prepare_portrait(photo, "astronaut")


def test_an_archive_gives_back_every_kind_of_field(tmp_path: Path) -> None:
    sketch = a_sketch()
    write_archive(tmp_path / "sketch.npz", sketch)
    again = read_archive(Sketch, tmp_path / "sketch.npz")
    assert (again.title, again.origin, again.matte) == ("ada", (3, "left"), None)
    assert np.array_equal(again.motion.value, sketch.motion.value)
    assert again.motion.value.dtype == np.float32
    assert again.motion.depth is None
    assert again.motion.captured_ns == 7
    assert [layer.weight for layer in again.layers] == [0.25, 1.0]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(again.layers, sketch.layers, strict=True))
    assert again._drawn == {}, "caches start anew"


def test_an_archive_refuses_what_it_could_not_read_again(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not object"):
        write_archive(tmp_path / "x.npz", Layer(object(), 1.0))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_cut_off_archive_is_told_from_a_missing_one(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "sketch.npz"
    write_archive(path, a_sketch())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArchiveError):
        read_archive(Sketch, path)
    with pytest.raises(FileNotFoundError):
        read_archive(Sketch, tmp_path / "none.npz")


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "sketch.npz"
    write_archive(path, a_sketch())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        read_archive(Sketch, path)


def test_an_archive_of_another_type_is_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / "layer.npz", a_sketch().layers[0])
    with pytest.raises(ArchiveError, match="fields"):
        read_archive(Sketch, tmp_path / "layer.npz")


def test_pickled_content_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "trap.npz", tree=np.array([Trap()], dtype=object))
    with pytest.raises(ArchiveError):
        read_archive(Sketch, tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_portrait_is_prepared_once_and_then_read(
    photo: Image, portrait: Portrait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = AvatarCache(tmp_path).get_portrait(photo, "astronaut")
    monkeypatch.setattr(storing, "prepare_portrait", lambda *_: pytest.fail("prepared again"))
    again = AvatarCache(tmp_path).get_portrait(photo.copy(), "the same under another name")
    assert again.name == "the same under another name"
    assert (again.crop, again.hints, again.digest) == (first.crop, first.hints, first.digest)
    for name in ("photo", "image"):
        assert np.array_equal(getattr(again, name), getattr(portrait, name))
    assert np.array_equal(again.motion.value, first.motion.value)


def test_another_crop_or_another_photo_is_another_portrait(photo: Image, tmp_path: Path) -> None:
    store = AvatarCache(tmp_path)
    assert store.get_portrait(photo, "a").crop != store.get_portrait(photo, "a", "whole").crop
    brighter = np.clip(photo.astype(int) + 5, 0, 255).astype(np.uint8)
    assert store.get_portrait(brighter, "a").digest != store.get_portrait(photo, "a").digest
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_a_real_avatar_renders_the_same_from_disk(portrait: Portrait, tmp_path: Path) -> None:
    renderer = WarpRenderer()
    made = AvatarCache(tmp_path).get_avatar(portrait, renderer, "1")
    read = AvatarCache(tmp_path).get_avatar(portrait, renderer, "1")
    assert read is not made
    value = portrait.motion.value + np.float32(0.03)
    moved = portrait.motion.with_points(value)
    assert np.array_equal(renderer.render(made, moved, 128), renderer.render(read, moved, 128))


def test_an_avatar_is_made_again_for_another_version_only(portrait: Portrait, tmp_path: Path) -> None:
    renderer, store = SketchRenderer(), AvatarCache(tmp_path)
    for version in ("weights-1", "weights-1", "weights-2", "weights-1"):
        assert store.get_avatar(portrait, renderer, version).title == "astronaut"
    assert renderer.prepared == 2


def test_a_damaged_file_is_made_again_with_a_line_in_the_log(
    portrait: Portrait, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renderer, store = SketchRenderer(), AvatarCache(tmp_path)
    store.get_avatar(portrait, renderer, "1")
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(b"not an archive")
    with caplog.at_level(logging.WARNING):
        store.get_avatar(portrait, renderer, "1")
    assert renderer.prepared == 2
    assert "damaged" in caplog.text
    store.get_avatar(portrait, renderer, "1")
    assert renderer.prepared == 2


def test_a_folder_that_cannot_be_written_costs_a_log_line_only(
    portrait: Portrait, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    renderer, store = SketchRenderer(), AvatarCache(tmp_path / "file" / "avatars")
    with caplog.at_level(logging.WARNING):
        assert store.get_avatar(portrait, renderer, "1").title == "astronaut"
        store.record_consent_shown(portrait.digest)
    assert not store.was_consent_shown(portrait.digest)
    assert "cannot" in caplog.text


def test_the_files_used_longest_ago_go_first(portrait: Portrait, tmp_path: Path) -> None:
    renderer, store = SketchRenderer(), AvatarCache(tmp_path, max_files=2)
    for second, version in enumerate(("1", "2")):
        store.get_avatar(portrait, renderer, version)
        for path in tmp_path.glob("*.npz"):
            if path.stat().st_mtime > 1e9:
                os.utime(path, (second + 1, second + 1))
    store.get_avatar(portrait, renderer, "1")  # used again, so now the younger of the two
    store.get_avatar(portrait, renderer, "3")
    assert renderer.prepared == 3
    store.get_avatar(portrait, renderer, "1")
    assert renderer.prepared == 3
    store.get_avatar(portrait, renderer, "2")
    assert renderer.prepared == 4


def test_two_processes_may_store_the_same_avatar_at_once(portrait: Portrait, tmp_path: Path) -> None:
    stores = [AvatarCache(tmp_path) for _ in range(4)]
    found: list[Sketch] = []
    threads = [
        threading.Thread(target=lambda s=s: found.append(s.get_avatar(portrait, SketchRenderer(), "1"))) for s in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(list(tmp_path.iterdir())) == 1


def test_consent_is_shown_once_for_each_photo(tmp_path: Path) -> None:
    store = AvatarCache(tmp_path)
    assert not store.was_consent_shown("a" * 64)
    store.record_consent_shown("a" * 64)
    assert AvatarCache(tmp_path).was_consent_shown("a" * 64)
    assert not store.was_consent_shown("b" * 64)


def test_the_home_variable_moves_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHEAD_HOME", str(tmp_path))
    assert AvatarCache().folder == tmp_path / "avatars"
    monkeypatch.delenv("LIVEHEAD_HOME")
    assert AvatarCache().folder.name == "avatars"
    assert tmp_path not in AvatarCache().folder.parents


def test_what_is_kept_in_memory_is_on_no_disk_and_is_a_copy(photo: Image, portrait: Portrait, tmp_path: Path) -> None:
    renderer, store = SketchRenderer(), MemoryAvatarStore()
    first = store.get_portrait(photo, "a guest")
    again = store.get_portrait(photo.copy(), "the same guest")
    assert (again.name, again.digest) == ("the same guest", first.digest)
    assert np.array_equal(again.image, first.image)
    made, read = store.get_avatar(portrait, renderer, "1"), store.get_avatar(portrait, renderer, "1")
    assert renderer.prepared == 1
    assert made.layers[0].pixels is not read.layers[0].pixels


def test_memory_keeps_what_was_used_last(portrait: Portrait) -> None:
    renderer, store = SketchRenderer(), MemoryAvatarStore(max_bytes=20_000)
    size = len(dump_archive(a_sketch("astronaut")))
    assert 10_000 > size > 20_000 / 4
    for version in ("1", "2", "3", "1", "4", "1"):
        store.get_avatar(portrait, renderer, version)
    assert renderer.prepared == 4
    store.get_avatar(portrait, renderer, "2")
    assert renderer.prepared == 5
