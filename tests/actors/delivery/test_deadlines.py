"""Time limits in buckets: late by a bucket at most, in order, and lifted ones don't pass."""

from __future__ import annotations

from greenroom.actors.delivery.deadlines import RESOLUTION_S, Deadlines
from greenroom.testing import VirtualRuntime


class Item:
    """Hashed by its identity, as requests are: a set has no order of them that a second run would repeat."""


async def test_those_that_pass_together_pass_in_order(clock: VirtualRuntime) -> None:
    passed: list[Item] = []
    deadlines = Deadlines[Item](clock, passed.append)
    items = [Item() for _ in range(100)]
    for item in items:
        deadlines.add(item, 1.0)
    await clock.advance(0.99)
    assert not passed
    await clock.advance(0.01 + RESOLUTION_S)
    assert passed == items


async def test_one_that_passes_may_lift_another(clock: VirtualRuntime) -> None:
    first, second = Item(), Item()
    passed: list[Item] = []

    def passes(item: Item) -> None:
        passed.append(item)
        bucket.pop(second, None)

    deadlines = Deadlines[Item](clock, passes)
    bucket = deadlines.add(first, 1.0)
    assert deadlines.add(second, 1.0) is bucket
    await clock.advance(2.0)
    assert passed == [first]
