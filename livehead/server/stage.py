"""What a session plays on. The roof makes it (``commands/players.py``); the server knows only this shape."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from livehead.config import GainSettings
from livehead.frames import Image
from livehead.governor import Quality
from livehead.interfaces import Driver, Inputs, Motion
from livehead.motion.keypoints import Keypoints
from livehead.perception.portrait import Portrait
from livehead.pipeline import Performer

IMAGE = "image"
"""As ``background``: the picture in ``Choice.backdrop``."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """All that decides how an avatar looks and moves. ``backdrop``: uint8 [H, W, 3] RGB, for background ``image``.

    ``feed``: motion that another machine estimates; while there is one, ``driver`` has a rest.
    """

    portrait: Portrait
    driver: str
    model: str
    mode: Literal["relative", "absolute"]
    gains: GainSettings
    background: str
    badge: bool
    backdrop: Image | None = None
    feed: Driver[Keypoints] | None = None


class Stage(Protocol):
    """One avatar, ready to perform. Every verb may be called from any thread."""

    @property
    def performer(self) -> Performer[Any]: ...

    @property
    def choice(self) -> Choice: ...

    @property
    def hardware(self) -> str: ...

    def set_gains(self, gains: GainSettings) -> None: ...

    def recalibrate(self) -> None: ...

    def close(self, successor: Stage | None) -> None:
        """Free what ``successor`` does not go on with. Called where ``estimate`` is called."""
        ...


class Troupe(Protocol):
    """Makes stages. Its verbs block, so they are called on threads."""

    @property
    def drivers(self) -> tuple[str, ...]: ...

    @property
    def models(self) -> tuple[str, ...]: ...

    def first_choice(self) -> Choice: ...

    def portrait(self, pixels: Image) -> Portrait:
        """Raises: SourceError, NoFaceError."""
        ...

    def stage(self, choice: Choice, previous: Stage | None) -> Stage:
        """``previous`` is still playing; what it has that fits (its driver, its calibration) is used again.

        Raises: LiveheadError.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Cue:
    """A motion and the stage that it is for, so that a change of stage never mixes the two."""

    stage: Stage
    motion: Motion

    @property
    def set(self) -> str:
        return self.motion.set

    @property
    def captured_ns(self) -> int:
        return self.motion.captured_ns


class Revue:
    """A ``Performer`` whose stage can be changed between two pictures.

    ``watch``: called with each motion as it is estimated, where that is done.
    """

    def __init__(self, stage: Stage, watch: Callable[[Motion], None] = lambda motion: None) -> None:
        self._stage = stage
        self._watch = watch
        self._lock = threading.Lock()
        self._leaving: list[Stage] = []
        self._quality: Quality | None = None
        self._picture: Image | None = None
        self.frozen = False
        """While set, the last picture is given again, whatever stage plays."""

    @property
    def stage(self) -> Stage:
        """The stage that plays."""
        return self._stage

    def change(self, stage: Stage) -> None:
        """Go on with ``stage``; the one before is closed when its last call is over."""
        with self._lock:
            if self._quality is not None:
                stage.performer.set_quality(self._quality)
            self._leaving.append(self._stage)
            self._stage = stage

    def estimate(self, inputs: Inputs) -> _Cue:
        with self._lock:
            stage = self._stage
            leaving, self._leaving = self._leaving, []
        for old in leaving:
            old.close(stage)
        motion = stage.performer.estimate(inputs)
        self._watch(motion)
        return _Cue(stage, motion)

    def draw(self, cue: _Cue, moment_ns: int) -> Image:
        if not self.frozen or self._picture is None:
            self._picture = cue.stage.performer.draw(cue.motion, moment_ns)
        return self._picture

    def set_quality(self, quality: Quality) -> None:
        with self._lock:
            self._quality = quality
            self._stage.performer.set_quality(quality)

    def close(self) -> None:
        """Close every stage; after the last call."""
        for stage in self._leaving:
            stage.close(self._stage)
        self._stage.close(None)
