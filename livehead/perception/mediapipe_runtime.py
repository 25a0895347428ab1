"""MediaPipe's start: faster than it wants to be, quiet, and without threads that live frames would wait for.

MediaPipe, TFLite and absl write to file descriptor 2 from C++, past ``sys.stderr`` and before any log level applies;
importing MediaPipe imports pyplot for one plot that is never drawn here (0.5 s).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np

from livehead.frames import Image

_NATIVE_LOG_LINE = re.compile(
    rb"^(INFO: Created TensorFlow Lite|WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d|[IWE]0000 )"
)
_stderr_lock = threading.RLock()
_suppression_depth = 0


@contextmanager
def suppress_native_logs() -> Iterator[None]:
    """Drop the chatter that native code writes to file descriptor 2; whatever else is written there comes through.

    The descriptor belongs to the whole process, so blocks of several threads wait for each other.
    """
    global _suppression_depth
    with _stderr_lock:
        if _suppression_depth:
            yield
            return
        sys.stderr.flush()
        saved = os.dup(2)
        _suppression_depth += 1
        try:
            with tempfile.TemporaryFile() as caught:
                os.dup2(caught.fileno(), 2)
                try:
                    yield
                finally:
                    sys.stderr.flush()
                    os.dup2(saved, 2)
                    caught.seek(0)
                    for line in caught:
                        if not _NATIVE_LOG_LINE.match(line):
                            os.write(2, line)
        finally:
            _suppression_depth -= 1
            os.close(saved)


def import_solutions() -> Any:
    """MediaPipe's ``solutions`` package (untyped), imported without pyplot and without a word."""
    with _stderr_lock:
        loaded = sys.modules.get("mediapipe")
        if loaded is not None:
            return loaded.solutions
        os.environ.setdefault("GLOG_minloglevel", "2")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with suppress_native_logs(), _stub_pyplot():
            import mediapipe

        return mediapipe.solutions


class MediaPipeGraph:
    """One open graph of MediaPipe's, whose chatter is dropped until every calculator in it has run once."""

    def __init__(self, solution: Callable[..., Any], output: str, **options: Any) -> None:
        """``solution``: the class in ``import_solutions()``, made with ``options``; ``output``: the field of its
        results that is None while nothing is found."""
        self._output = output
        self._mutes_native_logs = True
        with suppress_native_logs():
            self._solution = solution(**options)
            # The graph opens when it is first called, and talks then: inside the quiet block.
            self._solution.process(np.zeros((64, 64, 3), np.uint8))

    def run(self, image: Image) -> Any:
        """Return what the graph finds in ``image``, uint8 [H, W, 3] RGB: MediaPipe's own (untyped) result, or None."""
        image = np.ascontiguousarray(image)
        if not self._mutes_native_logs:
            return getattr(self._solution.process(image), self._output)
        with suppress_native_logs():
            found = getattr(self._solution.process(image), self._output)
        self._mutes_native_logs = found is None  # without a find, not every calculator has run
        return found

    def reset(self) -> None:
        """Forget the frames before: the next image is looked at afresh."""
        with suppress_native_logs():
            self._solution.reset()
        self._mutes_native_logs = True

    def close(self) -> None:
        """Free the graph, once."""
        if self._solution is not None:
            with suppress_native_logs():  # calculators that no picture needed open, and talk, only now
                self._solution.close()
        self._solution = None


class ClosableGraph(Protocol):
    """Holds a graph, or several, that ``close`` frees."""

    def close(self) -> None: ...


class MediaPipeTracker:
    """Holds what the trackers share: graphs that ``close``, or the end of a ``with`` block, frees."""

    def __init__(self, *graphs: ClosableGraph) -> None:
        self._graphs = graphs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the graphs; the instance is of no further use."""
        for graph in self._graphs:
            graph.close()


def run_in_calling_thread(solution: type[Any]) -> type[Any]:
    """The class ``solution`` of MediaPipe's with graphs that compute in the thread which calls ``process``.

    Those for one face do one thing after the other: a pool of threads makes them no quicker, but hands each frame over
    twenty times, and where other work keeps the cores busy every time may have to wait for one.
    """

    class InCallingThread(solution):  # type: ignore[misc]
        def _initialize_graph_interface(self, *args: Any, **kwargs: Any) -> Any:
            config = super()._initialize_graph_interface(*args, **kwargs)
            for executor in config.executor:
                if not executor.name:  # the default one
                    executor.type = "ApplicationThreadExecutor"
                    executor.ClearField("options")
            return config

    return InCallingThread


@contextmanager
def _stub_pyplot() -> Iterator[None]:
    """Let ``import matplotlib.pyplot`` find an empty module, unless the real one is there already."""
    if "matplotlib" in sys.modules:
        yield
        return
    package, pyplot = ModuleType("matplotlib"), ModuleType("matplotlib.pyplot")
    package.pyplot = pyplot  # type: ignore[attr-defined]
    sys.modules.update({"matplotlib": package, "matplotlib.pyplot": pyplot})
    try:
        yield
    finally:
        del sys.modules["matplotlib"], sys.modules["matplotlib.pyplot"]
