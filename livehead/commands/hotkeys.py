"""The keys of the preview window and what they change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from livehead.commands.compose import Company
from livehead.motion.transfer import Gains
from livehead.sinks.window import WindowKey

STEP = 0.1
MOST = 2.0
REGIONS = ("eyes", "mouth", "brows", "head")


class Hotkeys:
    """Called with each key, on the event loop. ``quit`` ends the run."""

    def __init__(self, company: Company, gains: Gains, quit_run: Callable[[], None]) -> None:
        self.gains = gains
        self._company = company
        self._region = 1
        self._actions: dict[WindowKey, Callable[[], object]] = {
            WindowKey.RECALIBRATE: company.recalibrate,
            WindowKey.NEXT_AVATAR: company.animator.next_scene,
            WindowKey.FREEZE: self._freeze,
            WindowKey.MIRROR: lambda: None,  # the window's own affair
            WindowKey.NEXT_GAIN: self._next_region,
            WindowKey.GAIN_UP: lambda: self._change(STEP),
            WindowKey.GAIN_DOWN: lambda: self._change(-STEP),
            WindowKey.QUIT: quit_run,
        }

    def __call__(self, key: WindowKey) -> None:
        self._actions[key]()

    def note(self) -> str:
        """For the window: who is shown, the chosen gain, and whether the picture is frozen."""
        region = REGIONS[self._region]
        frozen = "  FROZEN" if self._company.animator.frozen else ""
        return f"{self._company.animator.scene.name}  {region} x{getattr(self.gains, region):.1f}{frozen}"

    def _freeze(self) -> None:
        self._company.animator.frozen = not self._company.animator.frozen

    def _next_region(self) -> None:
        self._region = (self._region + 1) % len(REGIONS)

    def _change(self, by: float) -> None:
        region = REGIONS[self._region]
        value = round(min(max(getattr(self.gains, region) + by, 0.0), MOST), 2)
        self.gains = replace(self.gains, **{region: value})
        self._company.set_gains(self.gains)
