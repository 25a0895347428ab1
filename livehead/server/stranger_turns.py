"""Shares the event loop between strangers, so that calls keep most of its time whatever strangers send."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from livehead.clock import NS, now_ns

_REST_FACTOR = 3.0  # rests as long as that many turns took, so that strangers get a quarter of the time
_MAX_NEWCOMERS = 32  # wait for their first turn at a time, before no more are accepted
_MIN_REST_S = 0.00025
_MAX_REST_S = 0.01  # a loop that is busy with calls still lets strangers in, a hundred times a second


class StrangerTurns:
    """Gives strangers turns, one at a time with a rest between them, in the order of their ranks.

    What a stranger sends is parsed in its turn, a small piece each time. The rank grows with the turns that a stranger
    has had: a person who comes while others send without end has had none yet, and so does not wait behind them.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._newcomer_count = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._scheduled = False
        self._free_at_s = 0.0

    async def wait_for_room(self) -> None:
        """Wait until few strangers wait for their first turn (rank 0): more of them need not be accepted yet."""
        await self._has_room.wait()

    def request_turn(self, rank: int, turn: Callable[[], None]) -> None:
        """Have ``turn`` called soon, after those of lower ranks."""
        heapq.heappush(self._waiting, (rank, next(self._order), turn))
        self._count_newcomers(rank, 1)
        self._schedule()

    def _count_newcomers(self, rank: int, change: int) -> None:
        if rank <= 0:
            self._newcomer_count += change
        if self._newcomer_count > _MAX_NEWCOMERS:
            self._has_room.clear()
        else:
            self._has_room.set()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._free_at_s, loop.time()), self._take_turn)

    def _take_turn(self) -> None:
        rank, _, turn = heapq.heappop(self._waiting)
        self._count_newcomers(rank, -1)
        # after the task that answers a request which this turn completes: its time counts too
        begin_ns = now_ns()
        try:
            turn()
        finally:
            asyncio.get_running_loop().call_soon(self._end_turn, begin_ns)

    def _end_turn(self, begin_ns: int) -> None:
        spent_s = (now_ns() - begin_ns) / NS
        rest_s = min(max(spent_s * _REST_FACTOR, _MIN_REST_S), _MAX_REST_S)
        self._free_at_s = asyncio.get_running_loop().time() + rest_s
        self._scheduled = False
        self._schedule()
