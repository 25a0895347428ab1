"""The renderers of a server: on a GPU one network for each model and precision, which all sessions draw with."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakValueDictionary

from livehead.assembly.live_avatar import LiveAvatar, make_renderer
from livehead.interfaces import Renderer
from livehead.quality import QualityLevel, quality_levels


class SharedRenderers:
    """Makes renderers that share their network; a network lasts as long as any renderer that draws with it."""

    def __init__(self, *, on_cpu: bool = False) -> None:
        """``on_cpu``: share a network that runs on a processor too, not on a GPU alone.

        Measured on two cores with ``compact`` in int8 (``bench model --sessions``): four sessions draw 131 pictures a
        second with a network each and 94 with a shared one, whose batches keep to one core; eight draw 120 and 100, and
        the shared one then saves 230 MB.
        """
        self._on_cpu = on_cpu
        self._lock = threading.Lock()
        self._batchers: WeakValueDictionary[tuple[str, int, str, int | None], Any] = WeakValueDictionary()

    def make_renderer(
        self, name: str, size: int, *, alpha: bool = False, precision: str = "auto", threads: int | None = None
    ) -> Renderer[Any, Any, Any]:
        """Do as ``live_avatar.make_renderer``. A model without a network, or one that cannot share it, is made anew.

        Pictures with and without ``alpha`` come from one network. Raises: ConfigError, WeightsError.
        """
        from livehead.renderers.batching import BatchingRenderer, NetworkBatcher, NetworkRenderer

        key = (name, size, precision, threads)
        with self._lock:  # two sessions that begin at once wait for one network instead of loading two
            batcher = self._batchers.get(key)
            if batcher is None:
                renderer = make_renderer(name, size, alpha=alpha, precision=precision, threads=threads)
                if not isinstance(renderer, NetworkRenderer) or not (self._on_cpu or renderer.device.type == "cuda"):
                    return renderer
                batcher = self._batchers[key] = NetworkBatcher(renderer)
        return BatchingRenderer(batcher, alpha=alpha)


def warm_up_batches(live_avatar: LiveAvatar, fps: float) -> None:
    """Draw several pictures at once at every size that the quality controller may choose.

    What that compiles takes seconds the first time on a machine; until it is done, sessions are drawn one by one.
    """
    from livehead.renderers.batching import BatchingRenderer

    if isinstance(live_avatar.renderer, BatchingRenderer):
        for size in {level.size for level in quality_levels(QualityLevel(live_avatar.render_size, 1, fps))}:
            live_avatar.renderer.warm_up_batches(live_avatar.avatars[0], size)
