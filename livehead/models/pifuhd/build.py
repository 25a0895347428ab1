"""Builds PIFuHD from its sizes."""

from __future__ import annotations

from dataclasses import dataclass

from livehead.models.pifuhd.hourglass import HourglassFilter
from livehead.models.pifuhd.implicit import PointMlp
from livehead.models.pifuhd.network import PifuHdNetwork
from livehead.models.pifuhd.normals import NormalNet


@dataclass(frozen=True)
class PifuHdSizes:
    """Sizes of the published model.

    ``*_depth``: how often an hourglass halves; ``*_normed``: whether norms lie between the layers of the implicit
    function.
    """

    normal_width: int = 64
    normal_halvings: int = 4
    normal_blocks: int = 9
    coarse_stacks: int = 4
    coarse_depth: int = 2
    coarse_features: int = 256
    coarse_widths: tuple[int, ...] = (1024, 512, 256, 128, 1)
    coarse_normed: bool = False
    fine_stacks: int = 1
    fine_depth: int = 4
    fine_features: int = 16
    fine_widths: tuple[int, ...] = (512, 256, 128, 1)
    fine_normed: bool = False

    @property
    def embedding(self) -> int:
        """Width of the embedding that the coarse function passes to the fine one."""
        return self.coarse_widths[_EMBEDDING]


_EMBEDDING = 2  # the coarse layer whose result is the embedding
_COARSE_JOINED, _FINE_JOINED = (2, 3, 4), (1, 2)


def build_pifuhd(sizes: PifuHdSizes | None = None) -> PifuHdNetwork:
    """Build the network with random weights."""
    sizes = sizes or PifuHdSizes()
    coarse_widths = (sizes.coarse_features + 1, *sizes.coarse_widths)
    fine_widths = (sizes.fine_features + sizes.embedding, *sizes.fine_widths)
    return PifuHdNetwork(
        NormalNet(sizes.normal_width, sizes.normal_halvings, sizes.normal_blocks),
        NormalNet(sizes.normal_width, sizes.normal_halvings, sizes.normal_blocks),
        HourglassFilter(sizes.coarse_stacks, sizes.coarse_depth, sizes.coarse_features, halved=True),
        HourglassFilter(sizes.fine_stacks, sizes.fine_depth, sizes.fine_features, halved=False),
        PointMlp(coarse_widths, _COARSE_JOINED, _EMBEDDING, normed=sizes.coarse_normed),
        PointMlp(fine_widths, _FINE_JOINED, 0, normed=sizes.fine_normed),
    )
