"""The virtual camera and the camera capture on real video devices, in a small virtual machine without KVM.

Frames in sequence from livehead's virtual camera through v4l2loopback into livehead's capture and into an unmodified
Chromium, at 320x240 and 10 fps; a webcam pulled out in use and a producer that ends; busy and missing devices. Prints
figures as JSON; exit status 0 when all is well, 1 when not, 3 when a program is missing. Debian or Ubuntu only; fetches
about 85 MB of kernel packages on the first run, installs nothing. Bounded to six minutes.

    python scripts/test_v4l2.py [--cache DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from shlex import quote
from typing import Any

from devices import browser, v4l2_machine
from devices.report import EXIT_CANNOT_RUN, write_report

SCRIPTS = Path(__file__).resolve().parent
MACHINE_TIMEOUT_S = 330.0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/livehead-v4l2", help="for the kernel")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    return parser.parse_args()


def main() -> int:
    chosen = parse_options()
    lacking = v4l2_machine.missing_programs() + ([] if browser.find_chromium() else ["chromium"])
    if lacking:
        packages = f"{v4l2_machine.HOST_PACKAGES} chromium"
        print(f"missing: {', '.join(lacking)}. On Debian and Ubuntu: sudo apt-get install {packages}")
        return EXIT_CANNOT_RUN
    paths = quote(f"{SCRIPTS.parent}:{SCRIPTS}")
    command = f"env PYTHONPATH={paths} {quote(sys.executable)} -m devices.v4l2_guest"
    begun = time.monotonic()
    results: dict[str, Any]
    try:
        machine = v4l2_machine.build_machine(chosen.cache.absolute())
        built = time.monotonic()
        results = v4l2_machine.run_machine(machine, command, MACHINE_TIMEOUT_S)
    except v4l2_machine.MachineError as error:
        print(error, file=sys.stderr)
        return 1
    passed = all(part["passed"] for part in results.values())
    results |= {"passed": passed, "build_s": round(built - begun, 1), "wall_s": round(time.monotonic() - begun, 1)}
    settings = {"size": "320x240", "fps": 10, "kernel": machine.release}
    write_report({"command": "scripts/test_v4l2.py", "settings": settings, "results": results}, chosen.json)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
