"""``livehead run``: an avatar of a photo, live, in virtual cameras, windows, files and broadcasts."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livehead.assembly.input_checks import check_output_file
from livehead.assembly.live_avatar import (
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    LiveAvatar,
    build_live_avatar,
    initial_calibration,
    make_driver,
    open_portraits,
    resolve_driver_name,
)
from livehead.assembly.live_run import LiveRun
from livehead.assembly.media_endpoints import redacted
from livehead.assembly.profiles import CallProfile, ProfileStore
from livehead.assembly.realtime_trial import try_realtime
from livehead.assembly.run_checks import check_live_settings, check_photos, check_run_files, suggest_offline
from livehead.avatars.cache import AvatarCache
from livehead.cli_options import add_picture_arguments, add_webrtc_arguments, print_status, settings_from_args
from livehead.config import GainSettings, RunSettings
from livehead.environment import TOKEN_VARIABLE, VIEWER_KEY_VARIABLE
from livehead.errors import ConfigError, LostRecordingError
from livehead.interfaces import Driver
from livehead.motion.keypoints import Keypoints
from livehead.motion.retarget.calibration import NeutralCalibration
from livehead.performer_watch import NO_FACE_COUNTER
from livehead.protocol.motion_file import MotionRecorder
from livehead.stats import peak_memory_mb

if TYPE_CHECKING:
    from livehead.client.motion_subscriber import RemoteMotionSource
    from livehead.reporting.report import Json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    avatar = "one photo or several to animate, with the consent of the people in them"
    add("--avatar", type=Path, nargs="+", metavar="PHOTO", help=avatar)
    _add_media_arguments(parser)
    budget = "milliseconds that a frame may take before quality falls (default: the time between two frames)"
    add("--budget-ms", type=float, default=argparse.SUPPRESS, metavar="MS", help=budget)
    share = f"part of the machine that livehead may use, 0 to 1 (default: {RunSettings().budget.machine_share:g})"
    add("--machine-share", type=float, default=argparse.SUPPRESS, metavar="X", help=share)
    profile = "name of a profile, whose avatar, calibration and gains are loaded first and saved at the end"
    add("--profile", metavar="NAME", help=profile)
    record = "write the performer's motion, without any picture, to a file for --driver motion:FILE"
    add("--record-motion", type=Path, metavar="FILE", help=record)
    render_at = "let the livehead serve at wss://HOST[:PORT] draw the avatar, and send it the motion only"
    add("--render-at", metavar="URL", help=render_at)
    token = f"file that holds the token for --render-at (default: the token in {TOKEN_VARIABLE})"
    add("--token-file", type=Path, metavar="FILE", help=token)
    overwrite = "let recordings (--sink file:, --record-motion) take the place of files of the same name"
    add("--overwrite", action="store_true", default=argparse.SUPPRESS, help=overwrite)
    add("--seconds", type=float, metavar="N", help="end after so many seconds (default: at Ctrl-C)")
    add("--json", type=Path, metavar="FILE", help="write the figures of the run as JSON")
    add_picture_arguments(parser, allow_transparent=True)
    add_webrtc_arguments(parser)


def _add_media_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for what the run sees, hears and sends."""
    absent: Any = argparse.SUPPRESS
    add, defaults = parser.add_argument, RunSettings()
    driver = "what moves the avatar: face, voice, face+voice, body, dagan, idle, motion:FILE (recorded motion, there "
    driver += "and back for ever), motion:once:FILE (then the avatar idles) or motion:VIEWERS-LINK "
    add("--driver", default=absent, metavar="NAME", help=driver + "(default: auto, the driver that the model needs)")
    capture = (
        "the picture of the performer: camera, camera:N, camera:NAME, camera:/dev/videoN, file:VIDEO, url:ADDRESS "
    )
    capture += f"(RTSP, MJPEG, HLS, MPEG-TS) or synthetic (default: {defaults.capture}); livehead devices lists cameras"
    add("--capture", default=absent, metavar="SPEC", help=capture)
    microphone = "what is heard and recorded: 'default' for the system's microphone, a device's name, file:SOUND, "
    microphone += "url:ADDRESS, or speech:PATH or speech:PORT for sound that another program sends "
    microphone += "(default: none, unless the driver needs it)"
    add("--microphone", default=absent, metavar="NAME", help=microphone)
    sound_out = "device (a virtual cable) to play the sound on, delayed as much as the picture"
    add("--sound-out", default=absent, metavar="NAME", help=sound_out)
    sink = "where the picture goes: virtualcam, pipewire, window, file:OUT.mp4 (also .webm, .mov, frames/%%05d.png), "
    sink += "whip:URL, rtmp://HOST/APP, "
    sink += f"udp:HOST:PORT or null; may be given several times (default: {', '.join(defaults.sinks)})"
    add("--sink", action="append", default=[], metavar="SPEC", help=sink)
    fps = f"frames a second that are sent (default: {defaults.stream.fps:g})"
    add("--fps", type=float, default=absent, help=fps)


def main(args: argparse.Namespace) -> int:
    """Run until Ctrl-C, the end of the video, ``q`` in the window or ``--seconds``."""
    profiles = ProfileStore()
    profile = _load_profile(args, profiles)
    settings = settings_from_args(args, profile)
    paths: list[Path] = args.avatar or list(profile.avatars)
    if args.render_at:
        return _run_remotely(args, settings, paths)
    if args.token_file:
        raise ConfigError("--token-file is for --render-at", "leave it out")
    _check_input(args, settings, paths)
    if hint := suggest_offline(settings):
        print_status(hint)
    driver_name = resolve_driver_name(settings.driver, settings.model, settings.precision)
    settings = settings.model_copy(update={"driver": driver_name})
    with ExitStack() as stack:
        recorder = _open_recorder(args, settings, stack)
        run, live_avatar = _prepare_run(settings, paths, profile, recorder, stack)
        print_status(run.describe())
        lost = _run_to_the_end(run.run(args.seconds))
    if args.profile:
        kept = profile.model_copy(
            update={
                "avatars": tuple(path.resolve() for path in paths),
                "mode": run.settings.mode,
                "gains": GainSettings(**asdict(run.hotkeys.gains)),
                "picture": run.settings.picture,
                "calibration": live_avatar.calibration.to_json() if run.needs_camera else profile.calibration,
            }
        )
        print_status(f"profile kept in {profiles.save(args.profile, kept)}")
    print_status(run.summarize())
    if args.json is not None:
        _write_figures(run, args.json)
    _raise_lost_recordings(lost, recorder)
    return 0


def _open_recorder(args: argparse.Namespace, settings: RunSettings, stack: ExitStack) -> MotionRecorder | None:
    """The file of --record-motion, which ``stack`` closes; None without the option. Raises: SinkError."""
    if args.record_motion is None:
        return None
    stack.enter_context(suppress(LostRecordingError))  # the recorder remembers its failure
    return stack.enter_context(MotionRecorder(args.record_motion, overwrite=settings.stream.overwrite))


def _run_to_the_end(running: Coroutine[Any, Any, None]) -> LostRecordingError | None:
    """Run until it ends; gives the error of a file that was lost, so that what else a run leaves is written first."""
    try:
        asyncio.run(running)
    except LostRecordingError as error:
        return error
    return None


def _raise_lost_recordings(lost: LostRecordingError | None, recorder: MotionRecorder | None) -> None:
    """Raise the error of a film or of a motion file that is incomplete. Raises: LostRecordingError."""
    failure = lost or (recorder.failure if recorder else None)
    if failure is not None:
        raise failure


def _check_input(args: argparse.Namespace, settings: RunSettings, paths: list[Path]) -> None:
    """Look at photos, specs and outputs before anything costly happens. Raises: LiveheadError."""
    check_photos(paths)
    check_live_settings(settings)
    for path in (args.record_motion, args.json):
        if path is not None:
            check_output_file(path)
    check_run_files(
        settings, paths, record_motion=args.record_motion, others=(args.json,), inputs=(args.config, args.token_file)
    )


def _prepare_run(
    settings: RunSettings, paths: list[Path], profile: CallProfile, recorder: MotionRecorder | None, stack: ExitStack
) -> tuple[LiveRun, LiveAvatar]:
    """Build all that a run needs for its first frame; ``stack`` closes the driver. Raises: LiveheadError."""
    store = AvatarCache()
    portraits = open_portraits(paths, store, print_status, settings.picture.face)
    on_motion = recorder.add_while_possible if recorder else None
    remote_source, settings = _subscribe_remote_motion(settings)
    driver: Driver[Keypoints] | None = None
    if remote_source is None:
        driver = make_driver(settings.driver, portraits, settings.model)
        stack.callback(driver.close)
    else:
        remote_source.on_motion = on_motion
    calibration = initial_calibration(driver)
    if profile.calibration and calibration.neutral is None:
        calibration = NeutralCalibration.from_json(profile.calibration)

    def build(settings: RunSettings) -> LiveAvatar:
        return build_live_avatar(
            settings,
            portraits,
            driver,
            store,
            motion_set=remote_source.motion_set if remote_source else "",
            calibration=calibration,
            on_motion=on_motion,
            allow_transparent=True,
        )

    live_avatar = build(settings)
    trial = try_realtime(live_avatar, settings.stream.fps) if settings.model == "auto" else None
    if trial is not None and not trial.keeps_up:
        print_status(
            f"{DEFAULT_MODEL} is {trial.describe_excess()}, so {FALLBACK_MODEL} draws; "
            f"--model {DEFAULT_MODEL} insists on it, pip install 'livehead[fast-cpu]' makes it quicker"
        )
        settings = settings.model_copy(update={"model": FALLBACK_MODEL})
        live_avatar = build(settings)
    return LiveRun(settings, live_avatar, notify=print_status, remote_source=remote_source), live_avatar


def _run_remotely(args: argparse.Namespace, settings: RunSettings, paths: list[Path]) -> int:
    """Track here and have the server at ``--render-at`` draw."""
    from livehead.client.connection import ServerAddress
    from livehead.client.remote_run import (
        RemoteRenderRun,
        add_portrait,
        build_session_request,
        check_remote_settings,
        read_token,
    )

    if args.profile:
        raise ConfigError("a profile holds what the drawing machine keeps", "leave --profile or --render-at out")
    check_remote_settings(settings)
    address, token = ServerAddress.parse(args.render_at), read_token(args.token_file)
    if len(paths) > 1:
        raise ConfigError("there is one avatar at a time with --render-at", "name one --avatar")
    _check_input(args, settings, paths)
    request = build_session_request(settings, paths[0])
    with ExitStack() as stack:
        portraits = open_portraits(paths, AvatarCache(), print_status, settings.picture.face)
        request = add_portrait(request, portraits[0])
        driver = make_driver(settings.driver, portraits, settings.model, settings.precision)
        stack.callback(driver.close)
        recorder = _open_recorder(args, settings, stack)
        on_motion = recorder.add_while_possible if recorder else None
        run = RemoteRenderRun(settings, driver, address, token, request, on_motion=on_motion, notify=print_status)
        print_status(f"{run.driver_name} moves, {address.http_url} draws, to {', '.join(settings.sinks)}; Ctrl-C ends")
        lost = _run_to_the_end(run.run(args.seconds))
    print_status(run.summarize())
    if args.json is not None:
        from livehead.reporting.report import JsonReport, write_json

        write_json(JsonReport("run", _redact_settings(settings)).finish(run.results()), args.json)
    _raise_lost_recordings(lost, recorder)
    return 0


def _subscribe_remote_motion(settings: RunSettings) -> tuple[RemoteMotionSource | None, RunSettings]:
    """The source of ``motion:LINK``, if the driver is one, and the settings without the link's key.

    Raises: ConfigError.
    """
    kind, _, link = settings.driver.partition(":")
    if kind != "motion" or not link.startswith(("https://", "http://")):
        return None, settings
    from livehead.client.motion_subscriber import RemoteMotionSource, ViewerLink

    viewer_link = ViewerLink.parse(link)
    if "#" in link:
        print_status(f"other users of this machine can see the key; {VIEWER_KEY_VARIABLE} hides it (docs/render-at.md)")
    source = asyncio.run(RemoteMotionSource.connect(viewer_link, fps=settings.stream.fps, report=print_status))
    return source, settings.model_copy(update={"driver": f"motion:{viewer_link.address.http_url}"})


def _load_profile(args: argparse.Namespace, profiles: ProfileStore) -> CallProfile:
    """The profile that was named; a new one when it is unknown and an avatar is given. Raises: ConfigError."""
    if args.profile:
        profiles.check_name(args.profile)
    if args.profile and (args.profile in profiles.list_names() or not args.avatar):
        return profiles.load(args.profile)
    return CallProfile()


def _redact_settings(settings: RunSettings) -> dict[str, Any]:
    """The settings as JSON takes them, without what may be secret in addresses."""
    shown = {"sinks": [redacted(spec) for spec in settings.sinks], "capture": redacted(settings.capture)}
    shown |= {"microphone": redacted(settings.microphone)} if settings.microphone else {}
    return settings.model_dump(mode="json") | shown


def _write_figures(run: LiveRun, path: Path) -> None:
    """Write the run's figures as JSON."""
    from livehead.reporting.report import JsonReport, write_json

    stats = run.pipeline.stats
    settings = _redact_settings(run.settings)
    results: dict[str, Json] = {"stages": stats.summarize_stages(), "counts": stats.read_counters()}
    results["frames_without_face"] = stats.read_counters().get(NO_FACE_COUNTER, 0)
    results |= {"start_s": run.first_frame_s, "peak_mb": round(peak_memory_mb(), 1)}
    write_json(JsonReport("run", settings).finish(results), path)
