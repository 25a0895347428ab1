"""Conversion of published state dicts to our networks, in which every key is accounted for.

A network's keys are ours; a list of prefixes maps them to the published ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from livehead.errors import ConfigError, WeightsMismatchError, did_you_mean
from livehead.weights.catalog import SYSTEMS
from livehead.weights.key_map import CheckpointLayout

if TYPE_CHECKING:
    from torch import Tensor, nn

ValueT = TypeVar("ValueT")

_COUNTER_KEY = re.compile(r"(^|\.)num_batches_tracked$")
_SPECTRAL_NORM_KEY = re.compile(r"^(?P<layer>.+)\.weight_(?P<part>orig|u|v)$")


def official_names() -> list[str]:
    """Every name that ``load_official`` takes, sorted."""
    return sorted(_all_layouts())


def load_official(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The published network ``name``, in evaluation mode, float32, from its state dict with the published key names.

    Pictures are RGB in [0, 1], float32, [B, C, S, S]; ``LearnedKeypoints(value [B, K, 2], jacobian [B, K, 2, 2])`` is
    defined in ``livehead.models.dagan.keypoints``. The networks' forward functions are

    - ``dagan-generator-{10,15}``, ``dagan-spade-{10,15}``: ``(image, depth, points, driving) -> GeneratorOutput(image,
      deformed, field)``, ``field`` being ``KeypointMotionField(sampling_grid, mask, occlusion)``; ``depth`` [B, 1, S,
      S] is the source's disparity, ``points`` the source's key points, ``driving`` the performer's;
    - ``dagan-keypoints-{rgbd,rgb,depth}-{10,15}``: ``(picture) -> LearnedKeypoints``; the fourth plane of ``rgbd`` is
      disparity;
    - ``dagan-discriminator-{10,15}``: ``(image, points [B, K, 2]) -> DiscriminatorOutput(features, realness)``;
    - ``dagan-depth-encoder-{18,50}``: ``(image) -> [five feature maps, the finest first]``;
    - ``dagan-depth-decoder-{18,50}``: ``(features, scales=4) -> [disparities in (0, 1), the finest first]``;
    - ``dagan-pose-encoder-{18,50}``: as the depth encoder, of two pictures side by side [B, 6, S, S];
    - ``dagan-pose-decoder-{18,50}``: ``(the last feature map) -> CameraEstimate(CameraMotion, intrinsics [B, 3, 3])``;
    - ``dagan-posecnn``: ``([B, 6, S, S]) -> CameraMotion(axis_angle, translation)``, each [B, 1, 1, 3];
    - ``conr-udpparsernet``: ``(picture) -> ParsedDensePose(dense_pose, features)``; colours are times alpha,
      ``dense_pose`` [B, 4, S, S] is not yet clamped (``detect_dense_pose`` clamps), ``features`` are five maps, the
      coarsest first;
    - ``conr-target_pose_encoder``: ``(target) -> [five feature maps, the coarsest first]`` of [B, 4, S, S]: X, Y and Z
      times visibility, and visibility;
    - ``conr-shader``: ``(reference [B, V, 4, S, S], features, target) -> message [B, 64, S, S]``: RGBA of V views,
      colours times alpha twice, the parser's features of them [B, V, C, s, s], the pose encoder's [B, C, s, s];
      ``run_levels`` returns the output of every block;
    - ``conr-rgbadecodernet``: ``(message) -> RGBA [B, 4, S, S]`` in [0, 1], straight alpha;
    - ``openpose-{body25,coco18,mpi15}``: ``(picture [B, 3, H, W], BGR, x / 256 - 0.5) -> maps [B, P + 1 + 2 L, H / 8,
      W / 8]``: a heat map of each part, the background, then the limbs' affinity fields (``openpose.skeletons``);
    - ``openpose-{hand21,face70}``: the same picture to ``[B, P + 1, H / 8, W / 8]``, the background last;
    - ``pifuhd``: ``(image [B, 3, S, S], large [B, 3, 2 S, 2 S], points [B, 3, N]) -> OccupancyOutput(fine [B, 1, N],
      coarse [B, 1, N], embedding [B, 256, N])``; the pictures are RGB in [-1, 1], S is 512; points are in [-1, 1], x to
      the right, y up, z towards the camera. ``encode(image, large)`` once and ``query(code, points)`` often do the
      same, ``surface_normals(code, points)`` gives unit vectors [B, 3, N]. The depth of the fine hourglass and norms
      between the layers of the functions are told from the keys.

    Spectral norms become plain weights. Keys lose a leading ``module.``.

    Raises: ConfigError for an unknown name; WeightsMismatchError naming the first key that is missing, unknown or of
    another shape.
    """
    layout = _find_layout(name)
    wanted = _drop_ignored_keys(layout, _strip_module_prefix(tensors))
    given = {layout.to_our_key(key): wanted[at] for at, key in layout.drop_duplicates(wanted).items()}
    return _build_network(name, layout, _fold_spectral_norms(name, given))


def to_official_keys(name: str, tensors: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """A state dict of ours under its published names: what ``load_official`` takes. Raises: ConfigError."""
    layout = _find_layout(name)
    return {layout.to_official_key(key): value for key, value in tensors.items()}


def _find_layout(name: str) -> CheckpointLayout:
    layout = _all_layouts().get(name)
    if layout is None:
        raise ConfigError(f"there is no published network {name!r}", did_you_mean(name, official_names()), subject=name)
    return layout


def _all_layouts() -> dict[str, CheckpointLayout]:
    """All layouts by name; nothing is built before it is asked for."""
    return {name: layout for system in SYSTEMS for name, layout in system.layouts().items()}


def _strip_module_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys as a network has them that was not wrapped for several GPUs."""
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _drop_ignored_keys(layout: CheckpointLayout, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ignored = re.compile(layout.ignored_keys)
    return {key: value for key, value in tensors.items() if not _COUNTER_KEY.search(key) and not ignored.match(key)}


def _fold_spectral_norms(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Spectrally normed weights as they act: ``weight_orig / (u W v)`` with the stored u and v."""
    plain: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        match = _SPECTRAL_NORM_KEY.match(key)
        if match is None:
            plain[key] = value
        else:
            parts.setdefault(match["layer"], {})[match["part"]] = value
    for layer, part in parts.items():
        if part.keys() != {"orig", "u", "v"}:
            _raise_for_keys(
                name, "lacks", [f"{layer}.weight_{each}" for each in ("orig", "u", "v") if each not in part]
            )
        matrix = part["orig"].double().flatten(1)
        if part["u"].shape != matrix.shape[:1] or part["v"].shape != matrix.shape[1:]:
            _raise_for_keys(name, "has another shape of", [f"{layer}.weight_u"])
        largest = part["u"].double() @ matrix @ part["v"].double()
        plain[f"{layer}.weight"] = (part["orig"].double() / largest).float()
    return plain


def _build_network(name: str, layout: CheckpointLayout, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network of ``layout`` with exactly ``tensors`` (our names) in it."""
    import torch

    build = layout.select_builder({key: tuple(value.shape) for key, value in tensors.items()})
    with torch.device("meta"):  # no time for random numbers that nobody will see
        network = build().eval()
    wanted = network.state_dict()
    counters = {key for key in wanted if _COUNTER_KEY.search(key)}
    _raise_for_keys(name, "lacks", [layout.to_official_key(key) for key in wanted.keys() - tensors.keys() - counters])
    _raise_for_keys(name, "has the unknown", [layout.to_official_key(key) for key in tensors.keys() - wanted.keys()])
    shared = wanted.keys() & tensors.keys()
    _raise_for_keys(
        name,
        "has another shape of",
        [layout.to_official_key(key) for key in shared if wanted[key].shape != tensors[key].shape],
    )
    content = {key: tensors[key].detach().to(wanted[key].dtype, copy=True) for key in shared}
    content |= {key: torch.zeros((), dtype=torch.int64) for key in counters}
    network.load_state_dict(content, assign=True)
    return network


def _raise_for_keys(name: str, problem: str, keys: Iterable[str]) -> None:
    """Raise for the first of ``keys``, if there is one."""
    ordered = sorted(keys)
    if ordered:
        raise WeightsMismatchError(
            f"{name} {problem} {ordered[0]} ({len(ordered)} such)",
            "give the published file of this very network",
            subject=name,
        )
