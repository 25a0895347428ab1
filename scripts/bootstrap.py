"""Make the project's own Python environment: ``.venv`` with the pinned packages. Standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
RUNTIME = ROOT / "scripts" / "requirements.txt"
TEST = ROOT / "scripts" / "requirements-test.txt"
# MediaPipe names packages that its face mesh never imports (jax and others, 0.9 GB), so it is installed without them.
NO_DEPS_REQUIREMENT = "mediapipe==0.10.21"


def ensure_environment(*, test: bool = False) -> Path:
    """The environment's Python; made or brought up to date first. Exits with one line when that cannot be done."""
    if not (3, 11) <= sys.version_info[:2] < (3, 13) and not VENV.exists():
        sys.exit(
            f"livehead needs Python 3.11 or 3.12, this is {sys.version.split()[0]}: run this with python3.11 or 3.12"
        )
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"making {VENV}", flush=True)
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError:
            sys.exit("Python's venv module is not whole here: install it (Debian, Ubuntu: apt install python3-venv)")
    lists = [RUNTIME, TEST] if test else [RUNTIME]
    wanted = hashlib.sha256(b"".join(p.read_bytes() for p in [*lists, ROOT / "pyproject.toml"])).hexdigest()
    stamp = VENV / ("installed-test" if test else "installed")
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing the packages (a minute or two, once)", flush=True)
        for arguments in (
            [f for path in lists for f in ("-r", str(path))],
            ["--no-deps", NO_DEPS_REQUIREMENT],
            ["--no-deps", "--no-build-isolation", "-e", str(ROOT)],
        ):
            _run_pip(python, *arguments)
        stamp.write_text(wanted)
    return python


def run_python(python: Path, *arguments: str) -> int:
    """Run the environment's Python in the project's folder; gives the exit status."""
    try:
        return subprocess.run([str(python), *arguments], cwd=ROOT, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _run_pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, check=False)
    if result.returncode:
        sys.exit(f"the packages could not be installed (pip ended with {result.returncode}): see pip's lines above")
