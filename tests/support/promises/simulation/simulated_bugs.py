"""Bugs planted into the node: the simulation has to find each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenroom.actors.delivery.keys import Keys
from greenroom.actors.delivery.ref import Receipt
from greenroom.actors.delivery.tell import Delivery
from greenroom.actors.execution.executor import Executor
from greenroom.actors.extensions.monitors import registry as monitors
from greenroom.actors.extensions.timers.timer import Timer
from greenroom.actors.kernel.router import Router
from greenroom.actors.kernel.state import DurableState
from greenroom.actors.kernel.turn import OPEN, Turn
from greenroom.actors.mailbox import envelope
from greenroom.actors.mailbox.envelope import Ask
from greenroom.actors.recovery.caution import Caution
from greenroom.actors.recovery.reset import Reset
from greenroom.persistence.commit import committer
from greenroom.persistence.commit.committer import Committer
from greenroom.persistence.commit.effects import Effects, Told, fold
from greenroom.persistence.engines.memory.engine import MemoryStore
from greenroom.persistence.store.contract import Store
from greenroom.persistence.store.rows import AttemptRow, KeyRow, MessageRow

__all__ = ("BUGS", "Plant")

Plant = Callable[[pytest.MonkeyPatch], None]


def nothing(*_: Any) -> None: ...


def never(_: Any) -> bool:
    return False


def random_uid(_: Any) -> str:
    return os.urandom(16).hex()


def committed(change: Callable[[Effects], None]) -> Plant:
    """Something is missing in what is committed."""

    def changed(entry: Any) -> Any:
        if isinstance(entry, Told):
            return entry
        effects = Effects(ack=entry.ack, inserts=entry.inserts, actor=entry.actor, state=entry.state)
        if isinstance(entry, Effects):
            effects.rows, effects.deletes = entry.rows, entry.deletes
        change(effects)
        return effects

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(committer, "fold", lambda batch, commit: fold([changed(entry) for entry in batch], commit))

    return plant


def ack_without_state(effects: Effects) -> None:
    if effects.ack:
        effects.actor = effects.state = None


def state_without_ack(effects: Effects) -> None:
    if effects.state is not None:
        effects.ack = 0


def retry_without_attempt(effects: Effects) -> None:
    effects.rows = [row for row in effects.rows if not isinstance(row, AttemptRow)]


def key_row_not_written(effects: Effects) -> None:
    effects.rows = [row for row in effects.rows if not isinstance(row, KeyRow)]


def dead_letter_keeps_message(effects: Effects) -> None:
    if effects.rows and effects.deletes and not effects.ack:
        effects.deletes = [(kind, key) for kind, key in effects.deletes if kind is not MessageRow]


def reply_before_commit(patch: pytest.MonkeyPatch) -> None:
    def bad(self: Ask, result: Any, after: int, commits: Any) -> None:
        if not self.future.done():
            self.future.set_result((result, after))

    patch.setattr(Ask, "answer", bad)


def receipt_before_commit(patch: pytest.MonkeyPatch) -> None:
    def bad(self: Receipt) -> Iterator[None]:
        assert self._kernel is not None
        self._kernel.commits.request()
        return iter(())

    patch.setattr(Receipt, "__await__", bad)


def no_fence_of_incarnations(patch: pytest.MonkeyPatch) -> None:
    """A handler that was abandoned comes to its end after all, and its turn is finished."""
    finish = Executor._finish

    async def bad(self: Executor, turn: Turn, result: Any, spec: Any) -> str:
        cell = turn.cell
        if turn.interrupt is not None and cell.incarnation is not turn.incarnation and cell.turn is None:
            current, cell.incarnation = cell.incarnation, turn.incarnation
            turn.status = OPEN
            turn.finish(result)
            cell.incarnation = current
        return await finish(self, turn, result, spec)

    patch.setattr(Executor, "_finish", bad)


def no_fence_of_epochs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryStore, "_owned", lambda self: self.data.owner)


def no_suspects(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reset, "suspect", nothing)


def run_ahead_in_spite_of_suspects(patch: pytest.MonkeyPatch) -> None:
    """And so elision: a message that isn't a row runs, and a suspect without a row can't be charged."""

    def bad(self: Caution, position: int, arrive: Callable[[], object]) -> None:
        arrive()

    patch.setattr(Caution, "active", property(never))
    patch.setattr(Caution, "suspect", lambda *_: False)
    patch.setattr(Caution, "after", bad)


def delivered_before_the_finish(patch: pytest.MonkeyPatch) -> None:
    send = Turn.send

    def bad(self: Turn, cell: Any, message: Any) -> None:
        send(self, cell, message)
        if message.due is None and message.key is None:
            copy = envelope.Envelope(message.address, message.uid, message.message, message.tag, message.body)
            assert self.sends is not None
            self.sends.pop()
            self.cell.kernel.part(Delivery).accept(cell, copy)

    patch.setattr(Turn, "send", bad)


def failure_keeps_the_live_object(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DurableState, "restore", nothing)


def uid_not_derived(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turn, "next_uid", random_uid)


def tick_with_a_random_uid(patch: pytest.MonkeyPatch) -> None:
    tick = Timer.tick

    def bad(self: Timer) -> Any:
        told = tick(self)
        told.uid = os.urandom(16).hex()
        return told

    patch.setattr(Timer, "tick", bad)


def down_written_twice(patch: pytest.MonkeyPatch) -> None:
    decided = monitors.Monitors.decided

    def bad(self: Any, ending: Any, position: int) -> None:
        kept = list(ending.relations)
        decided(self, ending, position)
        for relation in kept:
            if relation.kind != monitors.LINK:
                self._enter(relation)

    patch.setattr(monitors.Monitors, "decided", bad)


def unknown_taken_for_landed(patch: pytest.MonkeyPatch) -> None:
    async def bad(self: Store, commit: Any) -> bool:
        await self.reopen()
        return True

    patch.setattr(Store, "has_landed", bad)


def unknown_taken_for_lost(patch: pytest.MonkeyPatch) -> None:
    async def bad(self: Store, commit: Any) -> bool:
        await self.reopen()
        return False

    patch.setattr(Store, "has_landed", bad)


def in_flight_taken_for_lost(patch: pytest.MonkeyPatch) -> None:
    """A bug that the simulation found in this very project: a read fails while a commit is in flight."""

    def bad(self: Committer, error: Any) -> None:
        if self.queue.failure is None:
            self._drop(error)

    patch.setattr(Committer, "fail", bad)


def keys_not_remembered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keys, "seen_lately", nothing)


def last_first(patch: pytest.MonkeyPatch) -> None:
    deliver = Router.deliver

    def bad(self: Router, sender: Any, sends: Any, after: int) -> None:
        deliver(self, sender, sends[::-1], after)

    patch.setattr(Router, "deliver", bad)


BUGS: dict[str, Plant] = {
    "ack without state": committed(ack_without_state),
    "state without ack": committed(state_without_ack),
    "retry without attempt": committed(retry_without_attempt),
    "key row not written": committed(key_row_not_written),
    "dead letter keeps message": committed(dead_letter_keeps_message),
    "reply before commit": reply_before_commit,
    "receipt before commit": receipt_before_commit,
    "no fence of incarnations": no_fence_of_incarnations,
    "no fence of epochs": no_fence_of_epochs,
    "no suspects": no_suspects,
    "run-ahead in spite of suspects": run_ahead_in_spite_of_suspects,
    "delivered before the finish": delivered_before_the_finish,
    "failure keeps the live object": failure_keeps_the_live_object,
    "uid not derived": uid_not_derived,
    "tick with a random uid": tick_with_a_random_uid,
    "down written twice": down_written_twice,
    "unknown taken for landed": unknown_taken_for_landed,
    "unknown taken for lost": unknown_taken_for_lost,
    "in flight taken for lost": in_flight_taken_for_lost,
    "keys not remembered": keys_not_remembered,
    "last first": last_first,
}
