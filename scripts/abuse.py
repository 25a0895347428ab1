#!/usr/bin/env python3
"""What strangers without a token cost a server and a running call, at ``ulimit -n 1024``.

    scripts/abuse.py [--seconds 30] [--cases sockets,handshakes,...] [--json abuse.json]

1100 silent sockets, 1100 TLS handshakes that never say hello, 255 slow second requests, 112 WebSockets that ping and
read nothing, 2000 bad requests, and 255 slow uploads that were refused: for each, a ``livehead serve`` of its own with
a call. Connections that the server ends are opened again. The exit status is 1 where a target is missed.

Needs the packages of the tests, and Linux. The longest gap between two pictures is of the machine as well: on a busy
one, compare it with that of the call alone.
"""

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.server.abuse_cases import CASES, AbuseCosts, measure_abuse  # noqa: E402

MAX_MEMORY_MB, MAX_FILES, MAX_LOG_LINES, MAX_GAP_MS, MAX_LET_IN_MS = 64.0, 300, 40, 300.0, 1000.0
HEADINGS = ("case", "memory MB", "files", "log lines", "gap ms", "call alone", "let in ms", "")


def find_misses(costs: AbuseCosts) -> list[str]:
    """The targets that were missed, by name."""
    checks = (
        ("memory", costs.memory_mb <= MAX_MEMORY_MB),
        ("files", costs.files <= MAX_FILES),
        ("log", costs.log_lines <= MAX_LOG_LINES),
        ("gap", costs.gap_ms <= MAX_GAP_MS),
        ("let in", max(costs.let_in_ms) <= MAX_LET_IN_MS),
    )
    return [name for name, reached in checks if not reached]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each case, at most 60 (default: %(default)g)")
    parser.add_argument("--cases", default=",".join(case.kind for case in CASES), help="which, separated by commas")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    wanted = args.cases.split(",")
    results, missed = {}, False
    print("{:<16}{:>10}{:>7}{:>11}{:>8}{:>12}{:>11}  {}".format(*HEADINGS))
    for case in CASES:
        if case.kind not in wanted:
            continue
        costs = asyncio.run(measure_abuse(case, min(args.seconds, 60.0)))
        misses = find_misses(costs)
        missed = missed or bool(misses)
        remark = f"missed: {', '.join(misses)}" if misses else ""
        print(
            f"{case.kind:<16}{costs.memory_mb:>10.1f}{costs.files:>7}{costs.log_lines:>11}{costs.gap_ms:>8.0f}"
            f"{costs.quiet_gap_ms:>12.0f}{max(costs.let_in_ms):>11.0f}  {remark}",
            flush=True,
        )
        results[case.kind] = {**asdict(costs), "count": case.count, "missed": misses}
    report = {"command": "scripts/abuse.py", "load": os.getloadavg()[0], "seconds": args.seconds, "results": results}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps({kind: {**each, "log": None} for kind, each in results.items()}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
