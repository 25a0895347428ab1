#!/usr/bin/env python3
"""Ten thousand strange offers, candidates, messages, images and WHIP bodies against a server in its own process.

    scripts/fuzz.py [--cases 10000] [--seed 0] [--families offers,messages] [--json fuzz.json]

Needs Linux and the packages of the tests. Ends with status 1 at the first crash, torn connection, traceback or leak.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from livehead.errors import SourceError  # noqa: E402
from livehead.perception.photo_frames import decode_photo_frames  # noqa: E402
from livehead.server.image_sandbox import MAX_PIXELS  # noqa: E402
from tests.server.fuzzing import FAMILIES, Held, Stranger, for_each, settled  # noqa: E402

WARM_UP_CASES = 300  # cases until what is made once for all is there
MAX_GROWTH_MB = 40.0
IDLE_S = 15.0  # by then connections that never came up are given up, and free memory is the system's again


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="of each family")
    parser.add_argument(
        "--images", type=int, help="uploaded, if not as many: each takes a process of its own; the rest is decoded here"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    for family in args.families.split(","):
        cases = args.images if family == "images" and args.images else args.cases
        results[family] = fuzz_family(family, cases, args.seed)
        print(family, json.dumps(results[family]), flush=True)
        if family == "images" and cases < args.cases:
            results["decoded"] = decode_images(args.cases, args.seed)
            print("decoded", json.dumps(results["decoded"]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"seed": args.seed, "results": results}, indent=2) + "\n")
    return 0 if all(not result["faults"] for result in results.values()) else 1


def decode_images(cases: int, seed: int) -> dict[str, object]:
    """Images, by what decodes them, in this process."""
    answers, wrong = {"photo": 0, "refused": 0}, list[str]()

    def use(data: bytes) -> None:
        try:
            decode_photo_frames(data, "The photo", MAX_PIXELS)
            answers["photo"] += 1
        except SourceError:
            answers["refused"] += 1

    try:
        for_each("images", cases, seed, use)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
        wrong.append(f"{type(error).__name__}: {str(error)[:1000]}")
    return {"cases": cases, "answers": answers, "faults": wrong}


def fuzz_family(family: str, cases: int, seed: int) -> dict[str, object]:
    """One family against a fresh server: what was answered, what is held before and after, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        log, wrong = Path(folder, "log"), list[str]()
        command = [sys.executable, "-m", "livehead", "serve", "--port", "0", "--model", "warp", "--log-format", "json"]
        command += ["--size", "64x64", "--render-size", "64", "--idle", "20"]
        with log.open("ab") as file:
            server = subprocess.Popen(command, stderr=file, cwd=ROOT)
        try:
            stranger = Stranger(_wait_for_address(server, log))
            began = time.monotonic()
            stranger.attack(family, min(WARM_UP_CASES, cases), seed + 1_000_000)
            before = measure_idle_resources(stranger, Held(10**6, 0, 0, 10**6, 0), server.pid)  # no session is left
            stranger.answers.clear()
            try:
                stranger.attack(family, cases, seed)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
                wrong.append(f"{type(error).__name__}: {str(error)[:1000]}")
            seconds = time.monotonic() - began
            after = measure_idle_resources(stranger, before, server.pid)
            if server.poll() is not None:
                wrong.append("the server ended")
        finally:
            server.terminate()
            status = server.wait(30)
        lines = _read_log(log)
    return {
        "cases": cases,
        "seconds": round(seconds, 1),
        "answers": stranger.answers,
        "before": asdict(before),
        "after": asdict(after),
        "faults": wrong + _find_faults(lines, before, after, status),
    }


def measure_idle_resources(stranger: Stranger, before: Held, pid: int) -> Held:
    """What is held by a server that nobody has asked for anything for a while."""
    settled(stranger, before, pid, 60.0)
    time.sleep(IDLE_S)
    return Held.of(stranger, pid)


def _find_faults(lines: list[dict[str, object]], before: Held, after: Held, status: int) -> list[str]:
    faults = [f"it ended with status {status}"] if status else []
    faults += [json.dumps(line) for line in lines if line["level"] in ("error", "critical") or "error" in line]
    if after.sessions or after.tasks > before.tasks or after.files > before.files + 4:
        faults.append(f"something stays: {before} {after}")
    if after.threads > before.threads + 8:
        faults.append(f"threads stay: {before.threads} {after.threads}")
    if after.private_mb > before.private_mb + MAX_GROWTH_MB:
        faults.append(f"memory grew: {before.private_mb} {after.private_mb} MB")
    return faults


def _read_log(log: Path) -> list[dict[str, object]]:
    return [
        json.loads(line) for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]


def _wait_for_address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        for line in _read_log(log):
            text = str(line.get("text", ""))
            if text.startswith("open http://localhost:"):
                return "127.0.0.1:" + text.removeprefix("open http://localhost:").strip("/ ")
        time.sleep(0.2)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    sys.exit(main())
