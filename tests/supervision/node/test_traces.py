"""Traces that another process follows: by polling, under a lease."""

from __future__ import annotations

import pytest
from grounds import MemoryGround, pool, tree

from greenroom import Actor, ActorNotFound, Message, handler
from greenroom.actors.extensions.introspection.tracer import Tracer
from greenroom.supervision.node import traces
from greenroom.supervision.node.traces import LEASE_S, TooManyTraces, Traces
from greenroom.testing import VirtualRuntime


class Note(Message):
    number: int


class Notes(Actor[None]):
    durable = False

    @handler
    def note(self, message: Note) -> None:
        pass


SPEC = tree(Notes, pool(Notes))


async def test_pages_are_sent_again_until_they_have_arrived(
    memory: MemoryGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "PAGE", 3)
    async with memory.node(SPEC) as system:
        followed = Traces(system.kernel)
        page = await followed.poll("/t/notes", None)
        assert (page["turns"], page["last"], page["more"]) == ([], 0, False)
        for number in range(5):
            system.ref("/t/notes").tell(Note(number=number))
        await system.idle()
        again = {"trace": page["trace"], "after": 0}
        first = await followed.poll("/t/notes", again)
        assert (len(first["turns"]), first["last"], first["more"]) == (3, 3, True)
        assert await followed.poll("/t/notes", again) == first
        second = await followed.poll("/t/notes", {"trace": page["trace"], "after": 3})
        assert (len(second["turns"]), second["last"], second["more"]) == (2, 5, False)
        assert not {turn.uid for turn in first["turns"]} & {turn.uid for turn in second["turns"]}
        empty = await followed.poll("/t/notes", {"trace": page["trace"], "after": 5})
        assert (empty["turns"], empty["last"]) == ([], 5)


async def test_what_nobody_fetches_is_dropped_and_counted(
    memory: MemoryGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "KEPT_MAX", 2)
    async with memory.node(SPEC) as system:
        followed = Traces(system.kernel)
        page = await followed.poll("/t/notes", None)
        for number in range(5):
            system.ref("/t/notes").tell(Note(number=number))
        await system.idle()
        found = await followed.poll("/t/notes", {"trace": page["trace"], "after": 0})
        assert (len(found["turns"]), found["dropped"]) == (2, 3)


async def test_the_lease(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(SPEC, runtime=clock) as system:
        followed = Traces(system.kernel)
        page = await followed.poll("/t/notes", None)
        again = {"trace": page["trace"], "after": 0}
        for _ in range(3):
            await clock.advance(LEASE_S - 0.1)
            assert (await followed.poll("/t/notes", again))["trace"] == page["trace"]
            assert system.kernel.part(Tracer).follows("/t/notes")
        await clock.advance(LEASE_S + 0.1)
        assert not system.kernel.part(Tracer).follows("/t/notes")
        assert (await followed.poll("/t/notes", again))["trace"] is None


async def test_it_is_left(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        followed = Traces(system.kernel)
        page = await followed.poll("/t/notes", None)
        system.ref("/t/notes").tell(Note(number=1))
        await system.idle()
        last = await followed.poll("/t/notes", {"trace": page["trace"], "after": 0, "stop": True})
        assert len(last["turns"]) == 1
        assert not system.kernel.part(Tracer).follows("/t/notes")


async def test_there_is_a_limit(memory: MemoryGround, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "FOLLOWED_MAX", 2)
    async with memory.node(SPEC) as system:
        followed = Traces(system.kernel)
        await followed.poll("/t/notes", None)
        await followed.poll("/t/pool/later", None)
        with pytest.raises(TooManyTraces, match="2 traces are being followed"):
            await followed.poll("/t/notes", None)


async def test_an_address_that_nothing_can_have(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        with pytest.raises(ActorNotFound):
            await Traces(system.kernel).poll("/t/nobody", None)
