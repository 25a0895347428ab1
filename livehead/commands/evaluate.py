"""``livehead evaluate``: how true the models' pictures are, or the mouth that a voice moves, on clips of people."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from livehead.assembly.conr import require_face_model
from livehead.assembly.dagan import CHECKPOINTS, load_detector
from livehead.assembly.input_checks import check_model, check_output_file
from livehead.assembly.live_avatar import DEFAULT_MODEL, make_renderer
from livehead.assembly.output_checks import check_outputs
from livehead.evaluation.clips import list_clips
from livehead.evaluation.frame_pairs import FramePair, read_pairs
from livehead.evaluation.self_reenactment import (
    FRAME_SIDE,
    METRICS,
    POSE_KEY,
    DrawFrame,
    EvaluationFrame,
    ModelFigures,
    PrepareSource,
    copy_baseline,
    evaluate_clips,
    evaluate_pairs,
)
from livehead.interfaces import Driver
from livehead.motion.keypoints import Keypoints
from livehead.perception.face_mesh import FaceMeshTracker
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.portrait import Portrait
from livehead.reporting.report import JsonReport, format_table, write_json

BASELINES = ("copy", "warp")
VOICE = "voice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clips", type=Path, required=True, metavar="DIR", help="folder of clips of one face each")
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="names of clips, one a line, in place of all in the folder; or .csv: pairs of frames, as for VoxCeleb",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="names with commas between; copy and warp are always added"
    )
    parser.add_argument(
        "--audio", action="store_true", help="judge the driver voice by the clips' sound and mouths, in place of models"
    )
    parser.add_argument("--frames", type=int, default=40, help="how many frames of each clip drive the avatar")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="plot the figures")


def main(args: argparse.Namespace) -> int:
    """Measure, print the table and write the files that were asked for."""
    for path in (args.json, args.plot):
        if path is not None:
            check_output_file(path)
    check_outputs((args.json, args.plot), (args.clips, args.list))
    return _evaluate_voice(args) if args.audio else _evaluate_models(args)


def _evaluate_models(args: argparse.Namespace) -> int:
    names = list(dict.fromkeys([*BASELINES, *(name.strip() for name in args.model.split(",") if name.strip())]))
    for name in names:
        if name != "copy":
            require_face_model(name)
            check_model(name)
    in_pairs = args.list is not None and args.list.suffix.lower() == ".csv"
    clips = [] if in_pairs else list_clips(args.clips, args.list)
    pairs = read_pairs(args.list, args.clips) if in_pairs else []
    models = {name: copy_baseline if name == "copy" else make_prepare_source(name) for name in names}
    settings = {"clips": str(args.clips), "list": str(args.list or ""), "frames": args.frames, "models": names}
    report = JsonReport("evaluate", settings)
    with FaceMeshTracker(static=True) as finder:
        if in_pairs:
            results = _evaluate_pairs(pairs, models, finder)
        else:
            results = _evaluate_clips(clips, models, finder, args.frames)
    columns = (*METRICS, POSE_KEY) if in_pairs else METRICS
    print(format_table({name: figures.mean for name, figures in results.items()}, columns, "model"))
    if args.json:
        write_json(report.finish({n: {"mean": f.mean, "clips": f.clips} for n, f in results.items()}), args.json)
    if args.plot:
        from livehead.reporting.plot import plot_evaluation

        plot_evaluation(results, args.plot)
    return 0


def _evaluate_voice(args: argparse.Namespace) -> int:
    """Judge the mouth that the driver ``voice`` makes of the clips' sound. Raises: CaptureError, NoFaceError."""
    from livehead.evaluation.speech import AUDIO_METRICS, evaluate_speech
    from livehead.reporting.plot import plot_speech

    clips = list_clips(args.clips, args.list)
    report = JsonReport("evaluate", {"clips": str(args.clips), "list": str(args.list or ""), "driver": VOICE})
    with tqdm(total=len(clips), unit="clip", disable=None) as bar:
        figures = evaluate_speech(clips, _make_voice_driver, lambda clip: (bar.set_postfix_str(clip), bar.update())[0])
    print(format_table({**figures.clips, "mean": figures.mean}, AUDIO_METRICS, "clip"))
    if args.json:
        write_json(report.finish({VOICE: {"mean": figures.mean, "clips": figures.clips}}), args.json)
    if args.plot:
        plot_speech(figures, args.plot)
    return 0


def _make_voice_driver(source: Keypoints) -> Driver[Keypoints]:
    from livehead.drivers.voice import VoiceDriver
    from livehead.models.voice.build import load_voice_model
    from livehead.perception.voice_activity import VoiceActivityDetector

    return VoiceDriver(source, load_voice_model(), VoiceActivityDetector())


def _evaluate_clips(
    clips: list[Path], models: dict[str, PrepareSource], finder: FaceMeshTracker, frames: int
) -> dict[str, ModelFigures]:
    with tqdm(total=len(clips), unit="clip", disable=None) as bar:
        return evaluate_clips(clips, models, finder, frames, lambda clip: (bar.set_postfix_str(clip), bar.update())[0])


def _evaluate_pairs(
    pairs: list[FramePair], models: dict[str, PrepareSource], finder: FaceMeshTracker
) -> dict[str, ModelFigures]:
    with tqdm(total=len(pairs), unit="pair", disable=None) as bar:
        return evaluate_pairs(pairs, models, finder, lambda pair: (bar.set_postfix_str(pair), bar.update())[0])


def make_prepare_source(name: str) -> PrepareSource:
    """A renderer as the protocol sees it: the whole frame is the source, its mesh (or learned points) the motion."""
    require_face_model(name)
    renderer = make_renderer(name, FRAME_SIDE)
    detector = load_detector(name, "auto") if name in CHECKPOINTS else None

    def prepare(source: EvaluationFrame) -> DrawFrame:
        portrait = Portrait("clip", source.image, PixelSquare(0, 0, FRAME_SIDE), source.image, source.mesh, (), "")
        avatar = renderer.prepare(portrait)
        if detector is not None:
            return lambda driving: renderer.render(avatar, detector.detect(driving.image), FRAME_SIDE)
        return lambda driving: renderer.render(avatar, driving.mesh, FRAME_SIDE)

    return prepare
