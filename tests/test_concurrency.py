import asyncio
import threading
import time

import pytest

from livehead.concurrency import Fifo, Latest, Worker
from livehead.interfaces import EndOfStream


async def test_the_newest_item_wins_and_the_unread_ones_are_counted() -> None:
    slot: Latest[int] = Latest()
    for i in range(5):
        slot.put(i)
    assert await slot.get() == 4
    assert (slot.received, slot.dropped) == (5, 4)


async def test_an_item_put_from_another_thread_wakes_the_reader() -> None:
    slot: Latest[str] = Latest()
    threading.Timer(0.05, slot.put, ["hello"]).start()
    assert await asyncio.wait_for(slot.get(), 2) == "hello"


async def test_a_closed_slot_gives_what_it_holds_and_then_ends() -> None:
    slot: Latest[int] = Latest()
    slot.put(1)
    slot.close()
    slot.put(2)
    assert await slot.get() == 1
    with pytest.raises(EndOfStream):
        await slot.get()


async def test_closing_with_an_error_hands_it_to_the_waiting_reader() -> None:
    slot: Latest[int] = Latest()
    reader = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    slot.close(OSError("unplugged"))
    with pytest.raises(OSError, match="unplugged"):
        await reader


async def test_a_line_keeps_order_and_drops_the_oldest_when_full() -> None:
    line: Fifo[int] = Fifo(3)
    for i in range(5):
        line.put(i)
    assert [await line.get() for _ in range(3)] == [2, 3, 4]
    assert line.dropped == 2


async def test_a_worker_calls_on_one_thread_of_its_own_and_joins_it() -> None:
    async with Worker("test") as worker:
        names = {await worker.run(lambda: threading.current_thread().name) for _ in range(3)}
    assert len(names) == 1
    assert names.pop().startswith("livehead-test")
    assert not [t for t in threading.enumerate() if t.name.startswith("livehead-test")]


async def test_a_worker_raises_what_the_call_raises_and_can_give_it_as_a_value() -> None:
    async with Worker("test") as worker:
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 / 0)
        call = await worker.submit_and_wait(lambda: 1 / 0)
        assert isinstance(call.exception(), ZeroDivisionError)


async def test_cancelling_waits_for_the_call_in_flight() -> None:
    finished = threading.Event()

    def slow() -> None:
        time.sleep(0.2)
        finished.set()

    async with Worker("test") as worker:
        task = asyncio.create_task(worker.run(slow))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert finished.is_set()


async def test_a_call_that_has_not_begun_is_dropped_when_cancelled() -> None:
    began = threading.Event()
    async with Worker("test") as worker:
        first = asyncio.create_task(worker.run(time.sleep, 0.2))
        second = asyncio.create_task(worker.run(began.set))
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await first
    assert not began.is_set()
