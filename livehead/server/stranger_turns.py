"""Shares the event loop between strangers, so that calls keep most of its time whatever strangers send."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from livehead.clock import NS, now_ns

_REST_FACTOR = 3.0  # rests as long as that many turns took, so that strangers get a quarter of the time
_MIN_REST_S = 0.002  # a request that a turn completes is answered in a task, whose time is not measured here


class StrangerTurns:
    """Gives strangers turns, one at a time with a rest between them; those who had the fewest are first.

    What a stranger sends is parsed in its turn, a small piece each time. A person who comes while others send without
    end has had no turn yet, and so does not wait behind them.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._scheduled = False
        self._free_at_s = 0.0

    def request_turn(self, turns_had: int, turn: Callable[[], None]) -> None:
        """Have ``turn`` called soon, for a stranger who has had so many turns before."""
        heapq.heappush(self._waiting, (turns_had, next(self._order), turn))
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._free_at_s, loop.time()), self._take_turn)

    def _take_turn(self) -> None:
        self._scheduled = False
        _, _, turn = heapq.heappop(self._waiting)
        begin_ns = now_ns()
        try:
            turn()
        finally:
            spent_s = (now_ns() - begin_ns) / NS
            self._free_at_s = asyncio.get_running_loop().time() + max(spent_s * _REST_FACTOR, _MIN_REST_S)
            self._schedule()
