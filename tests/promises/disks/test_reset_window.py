"""While a node reads itself anew from a store that is back, nothing can be told: it would be there twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from grounds import Ground, tree

from greenroom import Actor, Message, Request, StoreError, StoreFull, StoreUnavailable, handler
from greenroom.actors.recovery.reset import Reset
from greenroom.persistence.store.rows import AttemptRow


class Add(Message):
    pass


class Total(Request[int]):
    pass


class Sum(msgspec.Struct):
    total: int = 0


class Counter(Actor[Sum]):
    @handler
    def add(self, message: Add) -> None:
        self.state.total += 1

    @handler
    def total(self, message: Total) -> int:
        return self.state.total


SPEC = tree(("counter", Counter))


async def test_what_is_told_while_the_store_is_read_is_refused(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ground.node(SPEC) as system:
        ref = system.ref("/t/counter")
        await ref.tell(Add())
        await system.idle()
        load, tried = system.kernel.part(Reset).load, []

        async def telling() -> Any:
            for when in ("before", "after"):
                if when == "after":
                    await load()
                with pytest.raises(StoreError):
                    await ref.tell(Add())
                tried.append(when)

        monkeypatch.setattr(system.kernel.part(Reset), "load", telling)
        ground.plan.broken = StoreFull("no space left")
        with pytest.raises(StoreFull):
            await ref.tell(Add())
        ground.plan.broken = None
        await system.idle()
        assert tried == ["before", "after"]
        assert await ref.ask(Total()) == 1
        await ref.tell(Add())
        assert await ref.ask(Total()) == 2


async def test_a_read_that_breaks_off_is_begun_anew(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mailboxes that it had filled by then aren't filled twice."""
    async with ground.node(SPEC) as system:
        ref = system.ref("/t/counter")
        for number in range(3):
            ref.tell(Add(), delay_s=0.001 if number else None)
        load, broken = system.kernel.part(Reset).load, []

        async def breaking() -> Any:
            found = await load()
            if not broken:
                broken.append(found)
                raise StoreUnavailable("it went away again")
            return found

        await system.kernel.commits.flush()
        monkeypatch.setattr(system.kernel.part(Reset), "load", breaking)
        system.kernel.committer.fail(StoreUnavailable("gone"))
        await system.idle()
        while system.kernel.delayed.entries_of("/t/counter"):
            await system.kernel.runtime.sleep(0.001)
        assert broken
        assert await ref.ask(Total()) == 3
    assert not ground.rows(AttemptRow)
