"""Many tasks in order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from task_functions import Gate, double, running


async def test_map_is_ordered_and_bounded() -> None:
    inside = most = 0

    async def slow_at_first(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(20 - number):
            await asyncio.sleep(0)
        inside -= 1
        return number

    async with running() as system:
        found = [number async for number in system.tasks("/t/tasks").map(slow_at_first, range(20), limit=4)]
        assert found == list(range(20))
        assert most == 4
        assert [number async for number in system.tasks("/t/tasks").map(double, [])] == []


async def test_map_takes_no_more_items_than_it_may() -> None:
    taken: list[int] = []

    def items() -> Any:
        for number in range(10**9):
            taken.append(number)
            yield number

    async with running() as system, aclosing(system.tasks("/t/tasks").map(double, items(), limit=3)) as results:
        assert await anext(results) == 0
        assert await anext(results) == 2
        await system.idle()
        assert len(taken) <= 5


async def test_map_raises_the_first_failure_in_its_place_and_cancels_the_rest() -> None:
    gate = Gate()

    async def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        if number > 2:
            await gate.through()
        return number

    async with running() as system:
        found = []
        with pytest.raises(ValueError, match="two"):
            async for number in system.tasks("/t/tasks").map(work, range(10), limit=5):
                found.append(number)  # noqa: PERF401 - what came before the failure is what this is about
        assert found == [0, 1]
        await system.idle()
        assert gate.log
        assert set(gate.log) == {"cancelled"}


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_who_leaves_a_map_early_cancels_its_tasks(how: str) -> None:
    gate = Gate()

    async def work(number: int) -> int:
        if number:
            await gate.through()
        return number

    async with running() as system:

        async def loop() -> None:
            async with aclosing(system.tasks("/t/tasks").map(work, range(10), limit=3)) as results:
                async for _ in results:
                    if how == "close":
                        return

        looping = asyncio.ensure_future(loop())
        await gate.arrived.wait()
        looping.cancel()
        await asyncio.wait([looping])
        await system.idle()
        assert set(gate.log) == {"cancelled"}


async def test_map_waits_for_room() -> None:
    async with running(max_tasks=2) as system:
        assert [number async for number in system.tasks("/t/tasks").map(double, range(9), limit=8)] == [
            2 * number for number in range(9)
        ]
