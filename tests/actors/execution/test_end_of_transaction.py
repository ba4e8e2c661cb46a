"""The end of a turn that holds the store: it is bounded, and a cancellation meanwhile interrupts no commit."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from grounds import Ground, MemoryGround, tree
from patience import patience
from sqlalchemy import text

from greenroom import Actor, ChildSpec, ExitReason, Message, Request, Retry, Settings, handler
from greenroom.actors.execution.hook_turns import run_on_stop
from greenroom.actors.execution.transaction import WriteSlot
from greenroom.actors.execution.user_code.user_task import interrupt
from greenroom.actors.kernel.current import turn_here
from greenroom.actors.kernel.failures import Refusals
from greenroom.actors.kernel.hooks import Participant
from greenroom.testing import Recorder, VirtualRuntime


class Wait(Message):
    pass


class Ask(Request[str]):
    pass


class NeverReady(Participant):
    """Looks something up, and never gets an answer, the first time."""

    used: ClassVar[bool] = False

    def __init__(self, turn: Any) -> None:
        self.turn = turn

    async def ready(self) -> None:
        if not NeverReady.used:
            NeverReady.used = True
            await asyncio.Event().wait()


class Holder(Actor[None]):
    name = "left-holder"
    max_attempts = 1
    place: ClassVar[str] = ""

    async def hold(self, place: str) -> None:
        if place != Holder.place:
            return
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))
        turn = turn_here()
        assert turn is not None
        turn.part(NeverReady)
        turn.waits = True

    async def on_start(self) -> None:
        await self.hold("on_start")

    async def on_stop(self, reason: ExitReason) -> None:
        await self.hold("on_stop")

    @handler
    async def wait(self, message: Wait) -> None:
        await self.hold("handler")
        self.stop()

    @handler
    def ask(self, request: Ask) -> str:
        return "there"


@pytest.mark.parametrize("place", ["handler", "on_start", "on_stop"])
async def test_what_a_turn_looks_up_at_its_end_falls_under_the_limit_of_its_transaction(
    ground: Ground, place: str
) -> None:
    recorder = Recorder()
    Holder.place, NeverReady.used = "" if place == "on_start" else place, False
    clock = VirtualRuntime()
    settings = Settings(transaction_timeout_s=0.05)
    async with ground.node(tree(Holder), on_event=recorder, settings=settings, runtime=clock) as system:
        Holder.place = place
        system.ref("/t/holder").tell(Wait())
        await clock.run(system.idle())
        assert await clock.run(system.ref("/t/holder").ask(Ask())) == "there"
        assert NeverReady.used
    assert "TransactionTimeout" in str([event.measures for event in recorder.events])


class Writer(Actor[list[int]]):
    name = "left-writer"

    def initial_state(self) -> list[int]:
        return []

    @handler
    async def wait(self, message: Wait) -> None:
        self.state.append(1)
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    @handler
    def ask(self, request: Ask) -> str:
        return f"{len(self.state)}"


async def test_a_runner_that_is_cancelled_while_its_turn_commits(ground: Ground) -> None:
    """The commit is made, its number isn't used again, and the turn doesn't stay open."""
    async with ground.node(tree(Writer)) as system, patience():
        await system.ref("/t/writer").tell(Wait())
        await system.idle()
        ground.plan.hold()
        receipt = system.ref("/t/writer").tell(Wait())
        await ground.plan.arrived()
        ground.plan.release()
        await receipt
        await system.idle()
        committer = system.kernel.committer
        landed, commit = committer.commits, committer.store.commit_transaction
        struck: list[asyncio.Task[Any]] = []

        async def struck_commit(effects: Any) -> None:
            turn = system.kernel.cells["/t/writer"].turn
            for task in system._dispatcher._tasks if turn is not None and not struck else ():
                if not task.done():
                    struck.append(task)
                    interrupt(task)
            await asyncio.sleep(0)
            await commit(effects)

        committer.store.commit_transaction = struck_commit
        await system.ref("/t/writer").tell(Wait())
        await system.idle()
        assert struck
        committer.store.commit_transaction = commit
        await system.ref("/t/writer").tell(Wait())
        await system.idle()
        assert committer.commits > landed + 1
        assert await system.ref("/t/writer").ask(Ask()) == "4"
    async with ground.node(tree(Writer)) as system:
        assert await system.ref("/t/writer").ask(Ask()) == "4"


class Stopper(Actor[None]):
    name = "left-stopper"

    async def on_stop(self, reason: ExitReason) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
async def test_an_end_of_the_caller_is_no_failed_stop(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    async def cut(slot: WriteSlot) -> None:
        raise error

    recorder = Recorder()
    async with MemoryGround().node(tree(Stopper), on_event=recorder) as system:
        cell = system.kernel.cells["/t/stopper"]
        system.kernel.part(Refusals)._wary[cell.address] = None
        assert cell.incarnation is not None
        with monkeypatch.context() as patched:
            patched.setattr(WriteSlot, "open", cut)
            with pytest.raises(error):
                await run_on_stop(cell, cell.incarnation, ExitReason.normal(), None)
        assert cell.turn is None
        system.kernel.part(Refusals)._wary.clear()
    assert not recorder.of("actor.stop_failed")


class Note(Message):
    how: str


class Notes(Actor[list[str]]):
    """Its transactions hold no SQL, so that nothing in them suspends once their connection is there."""

    max_attempts = 1

    def initial_state(self) -> list[str]:
        return []

    @handler
    async def note(self, note: Note) -> None:
        async with self.transaction():
            self.state.append(note.how)
            if note.how == "retry":
                raise Retry("later", after_s=0.0)

    @handler
    async def ask(self, ask: Ask) -> str:
        async with self.transaction():
            return " ".join(self.state)


async def test_a_transaction_in_which_nothing_suspends_ends_with_its_turn(ground: Ground) -> None:
    async with patience(), ground.node(tree(ChildSpec(id="notes", actor=Notes))) as system:
        notes = system.ref("/t/notes")
        for how in ("a", "b", "retry", "c"):
            await notes.tell(Note(how=how))
        await system.idle()
        assert await notes.ask(Ask()) == "a b c"
        assert not system.kernel.committer.held
