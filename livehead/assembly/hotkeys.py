"""The keys of the preview window and what they change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from livehead.assembly.live_avatar import LiveAvatar
from livehead.motion.retarget.transfer import MotionGains
from livehead.sinks.window import WindowKey

GAIN_STEP = 0.1
MAX_GAIN = 2.0
GAIN_REGIONS = ("eyes", "mouth", "brows", "head")


class Hotkeys:
    """Does what each key of the window asks for; called with the key, on the event loop. ``quit_run`` ends the run."""

    def __init__(self, live_avatar: LiveAvatar, gains: MotionGains, quit_run: Callable[[], None]) -> None:
        self.gains = gains
        self._live_avatar = live_avatar
        self._region = 1
        self._actions: dict[WindowKey, Callable[[], object]] = {
            WindowKey.RECALIBRATE: live_avatar.recalibrate,
            WindowKey.NEXT_AVATAR: live_avatar.animator.select_next_scene,
            WindowKey.FREEZE: self._toggle_freeze,
            WindowKey.MIRROR: lambda: None,  # the window mirrors by itself
            WindowKey.NEXT_GAIN: self._select_next_region,
            WindowKey.GAIN_UP: lambda: self._change_gain(GAIN_STEP),
            WindowKey.GAIN_DOWN: lambda: self._change_gain(-GAIN_STEP),
            WindowKey.QUIT: quit_run,
        }

    def __call__(self, key: WindowKey) -> None:
        self._actions[key]()

    def status_text(self) -> str:
        """The window's status line: the avatar shown, the chosen gain, and whether the picture is frozen."""
        region = GAIN_REGIONS[self._region]
        frozen = "  FROZEN" if self._live_avatar.animator.frozen else ""
        return f"{self._live_avatar.animator.selected_scene.name}  {region} x{getattr(self.gains, region):.1f}{frozen}"

    def _toggle_freeze(self) -> None:
        self._live_avatar.animator.frozen = not self._live_avatar.animator.frozen

    def _select_next_region(self) -> None:
        self._region = (self._region + 1) % len(GAIN_REGIONS)

    def _change_gain(self, delta: float) -> None:
        region = GAIN_REGIONS[self._region]
        value = round(min(max(getattr(self.gains, region) + delta, 0.0), MAX_GAIN), 2)
        self.gains = replace(self.gains, **{region: value})
        self._live_avatar.set_gains(self.gains)
