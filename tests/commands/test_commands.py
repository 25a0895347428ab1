import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from livehead.assembly.realtime_trial import RealtimeTrial
from livehead.cli import COMMANDS, main
from livehead.evaluation.landmarks import find_mesh
from livehead.perception.face_mesh import FaceMeshTracker


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example: livehead {command}" in " ".join(capsys.readouterr().out.split())


def test_a_photo_is_animated_by_a_video_and_keeps_its_sound(tmp_path: Path, photo: Path, talk: Path) -> None:
    out, figures = tmp_path / "out.mp4", tmp_path / "out.json"
    status = main(
        ["animate", "--avatar", str(photo), "--driving", str(talk), "--out", str(out), "--json", str(figures)]
    )
    assert status == 0
    shown, performed = pictures(out), pictures(talk)
    assert len(shown) == len(performed) == 20
    source = np.asarray(Image.open(photo))
    assert shown[0].shape == source.shape
    report = json.loads(figures.read_text())
    assert report["results"]["frames"] == 20
    assert report["results"]["driving_face_found"] == 1
    with av.open(str(out)) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    assert np.abs(sound).max() > 0.5
    with FaceMeshTracker(static=True) as finder:
        meshes = [find_mesh(finder, picture) for picture in shown]
    assert all(mesh is not None for mesh in meshes)
    turned = [mesh.points3d()[0, 1, 0] - mesh.points3d()[0, :, 0].mean() for mesh in meshes if mesh is not None]
    assert np.ptp(turned) > 0.02, "the head turns as the performer's does"


def test_a_live_run_records_motion_that_drives_another(tmp_path: Path, photo: Path, talk: Path) -> None:
    motion, first, second = tmp_path / "motion.npz", tmp_path / "first.mp4", tmp_path / "second.mp4"
    common = ["run", "--avatar", str(photo), "--size", "320x240", "--render-size", "128"]
    assert main([*common, "--capture", f"file:{talk}", "--sink", f"file:{first}", "--record-motion", str(motion)]) == 0
    assert main([*common, "--driver", f"motion:{motion}", "--sink", f"file:{second}", "--seconds", "1.5"]) == 0
    assert len(pictures(first)) >= 5
    assert len(pictures(second)) >= 5
    assert pictures(second)[0].shape == (240, 320, 3)


def test_consent_is_asked_for_once_for_each_photo(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    idle = ["run", "--avatar", str(photo), "--driver", "idle", "--sink", "null", "--seconds", "0.3"]
    main(idle)
    assert "consent" in capsys.readouterr().err
    main(idle)
    assert "consent" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX does")
def test_ctrl_c_ends_within_a_second_and_leaves_a_readable_recording(tmp_path: Path, photo: Path, home: Path) -> None:
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "livehead", "run", "--avatar", str(photo), "--driver", "idle"]
    command += ["--size", "320x240", "--render-size", "128", "--sink", f"file:{out}", "--sink", "null"]
    environment = {**os.environ, "LIVEHEAD_HOME": str(home)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("first frame"):
                break
        else:
            pytest.fail("".join(said))
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
    assert process.returncode == 0
    assert len(pictures(out)) >= 3


def test_evaluate_gives_the_design_s_figures(tmp_path: Path, talk: Path) -> None:
    figures, plot = tmp_path / "figures.json", tmp_path / "figures.png"
    clips = ["evaluate", "--clips", str(talk.parent), "--frames", "6"]
    assert main([*clips, "--json", str(figures), "--plot", str(plot)]) == 0
    results = json.loads(figures.read_text())["results"]
    assert set(results) == {"copy", "warp", "compact"}
    for model in ("warp", "compact"):
        assert results[model]["clips"]["talk"]["psnr"] > results["copy"]["clips"]["talk"]["psnr"]
        assert results[model]["mean"]["akd"] < results["copy"]["mean"]["akd"]
    assert Image.open(plot).size[0] > 300


def test_bench_model_tells_time_and_that_the_background_stands_still(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    assert main(["bench", "model", "--rounds", "5", "--render-size", "128", "--json", str(figures)]) == 0
    report = json.loads(figures.read_text())
    assert report["results"]["frame"]["n"] == 5
    assert report["results"]["stages"].keys() == {"geometry", "motion", "flow_composer", "source_warper", "decoder"}
    assert 0 < report["results"]["gflops_cached"] < report["results"]["gflops_uncached"]
    assert all(fidelity > 35 for fidelity in report["results"]["psnr_to_fp32"].values())
    assert report["yardstick_ms"].keys() == {"conv_fp32", "conv_bf16"}
    assert report["results"]["background_change"]["mean"] < 1 / 255
    peaks = report["results"]["peaks_mb"]
    assert peaks.keys() == report["results"]["frames"].keys()
    assert report["results"]["peak_mb"] == peaks[report["results"]["uses"]] > 100


def test_doctor_tells_what_is_missing_and_ends_accordingly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "doctor.json"
    status = main(["doctor", "--json", str(figures)])
    findings = {finding["name"]: finding for finding in json.loads(figures.read_text())["results"]}
    assert findings["face tracker"]["well"]
    assert findings["packages"]["well"]
    missing = [finding for finding in findings.values() if finding["needed"] and not finding["well"]]
    assert status == (1 if missing else 0)
    said = capsys.readouterr().out
    assert all(finding["remedy"] in said for finding in missing)


def test_a_profile_keeps_avatar_gains_and_calibration(
    tmp_path: Path, photo: Path, talk: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = ["run", "--capture", f"file:{talk}", "--sink", "null", "--size", "320x240", "--render-size", "128"]
    assert main([*live, "--avatar", str(photo), "--profile", "me", "--gain", "mouth=1.5"]) == 0
    first = json.loads((home / "profiles" / "me.json").read_text())
    assert first["gains"]["mouth"] == 1.5
    assert len(first["calibration"]["value"]) == 478
    assert main([*live, "--profile", "me"]) == 0
    again = json.loads((home / "profiles" / "me.json").read_text())
    assert again == first, "a known neutral face stays until it is asked for anew"
    assert main([*live, "--profile", "mee"]) == 2
    assert "'me'" in capsys.readouterr().err


def test_the_bundled_model_animates_by_name(tmp_path: Path, photo: Path, talk: Path) -> None:
    out = tmp_path / "out.mp4"
    command = ["animate", "--model", "compact", "--render-size", "256", "--avatar", str(photo), "--driving", str(talk)]
    assert main([*command, "--out", str(out)]) == 0
    shown = pictures(out)
    assert len(shown) == 20
    changed = np.abs(shown[10].astype(int) - shown[0]).mean(axis=2)
    assert changed.max() > 30, "the face moves"
    assert np.median(changed) <= 2, "most of the photo stands still"


def test_a_machine_too_slow_for_the_default_is_told_and_gets_the_other(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = ["run", "--avatar", str(photo), "--driver", "idle", "--sink", "null", "--seconds", "0.3"]
    trial = RealtimeTrial(size=384, draw_ms=41.2, allowed_ms=25.0, fps=30)
    monkeypatch.setattr("livehead.commands.run.try_realtime", lambda live_avatar, fps: trial)
    assert main(idle) == 0
    said = capsys.readouterr().err
    assert "compact is too slow for 30 fps here and now" in said
    assert "(a picture of 384 pixels took 41 ms, and 25 ms are allowed), so warp draws" in said
    assert "warp at 512 px" in said
    assert main([*idle, "--model", "compact"]) == 0
    assert "compact at 512 px" in capsys.readouterr().err
