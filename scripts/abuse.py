#!/usr/bin/env python3
"""What a call notices of 200 idle sockets, 20 slow ones and wrong tokens without end: gaps between its pictures.

    scripts/abuse.py [--seconds 20]

Needs the packages of the tests. The server is a process of its own; without the attack first, for comparison.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from livehead.bench.webrtc import run_server  # noqa: E402
from livehead.stats import summarize_ms  # noqa: E402
from tests.server.test_abuse import SERVER, gaps_in_a_call, place  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    results = {}
    with run_server(*SERVER) as server:
        for name, beaten in (("quiet", False), ("attacked", True)):
            gaps, told = asyncio.run(gaps_in_a_call(place(server.url), seconds, beaten=beaten))
            results[name] = {
                "gap_ms": summarize_ms([gap * 1000 for gap in gaps]),
                "longest_ms": round(max(gaps) * 1000),
                "fps": round(len(gaps) / sum(gaps), 1),
                "tokens_a_second": round(told["tried"] / sum(gaps), 1),
            }
            print(name, json.dumps(results[name]), flush=True)
    return 0 if results["attacked"]["longest_ms"] < 1000 else 1


if __name__ == "__main__":
    sys.exit(main())
