"""Observer: it is told when a turn of an incarnation begins. It makes a `WatchedTurn` of it, which tells of its end."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any, Protocol

from ....persistence.errors import StoreError
from ...kernel.cell import STARTING
from ...kernel.errors import Ignore
from ...kernel.failures import judge
from ...kernel.incarnation import Incarnation
from ...kernel.turn import ANYTHING, OPEN, Turn
from ...mailbox.envelope import Ask
from ...messages.message import SystemRequest, tag_of
from .requests import ActorStatistics
from .trace import Outcome, TracedTurn

__all__ = ("Counters", "Watch", "WatchedTurn", "type_of")


class Follower(Protocol):
    """A follower of the turns of some addresses (tracer.py)."""

    def follows(self, address: str) -> bool: ...

    def publish(self, turn: TracedTurn) -> None: ...


class Watch:
    """The observer of one incarnation."""

    __slots__ = ("_clock", "_follower", "counters", "incarnation")

    def __init__(self, incarnation: Incarnation, follower: Follower) -> None:
        self._follower = follower
        self.incarnation = incarnation
        self.counters: Counters | None = None
        self._clock = incarnation.kernel.runtime.perf

    @classmethod
    def of(cls, incarnation: Incarnation) -> Watch | None:
        owner = getattr(incarnation.watch, "__self__", None)
        return owner if isinstance(owner, cls) else None

    @classmethod
    def over(cls, incarnation: Incarnation, follower: Follower) -> Watch:
        watch = cls.of(incarnation)
        if watch is None:
            watch = cls(incarnation, follower)
            incarnation.watch = watch.begin
        return watch

    def leave(self) -> None:
        self.incarnation.watch = None

    def begin(self, turn: Turn) -> None:
        """A turn begins."""
        if not isinstance(turn.message, SystemRequest):
            turn.__class__ = WatchedTurn
            assert isinstance(turn, WatchedTurn)
            turn.watch = self
            turn.began = self._clock()
            turn.eventful = ANYTHING  # so that a light one is finished as well

    def ended(self, turn: WatchedTurn, outcome: Outcome, error: str, changed: bool, attempt: int) -> None:
        """Note that the turn is over. If it finished, it isn't committed yet."""
        cell, kernel = turn.cell, turn.cell.kernel
        duration_ms = (self._clock() - turn.began) * 1000
        kind = type_of(turn)
        if self.counters is not None and turn.message is not None and outcome != "discarded":
            self.counters.add(turn, kind, outcome, duration_ms)
        if not self._follower.follows(cell.address):
            return
        traced = TracedTurn(
            address=cell.address,
            incarnation=self.incarnation.number,
            began=kernel.runtime.now() - duration_ms / 1000,
            type=kind,
            uid=turn.key,
            sender=_sender(turn),
            attempt=attempt,
            messages=_messages(turn),
            outcome=outcome,
            error=error,
            duration_ms=round(duration_ms, 3),
            sends=len(turn.sends or ()),
            state_changed=changed if cell.durable else None,
            mailbox=cell.mailbox.count,
        )
        if outcome != "finished":
            self._follower.publish(traced)
            return

        def committed(lost: StoreError | None) -> None:
            if lost is None:
                self._follower.publish(traced)

        kernel.commits.when(turn.after, committed)


class Observed:
    """Attributes of a turn under observation."""

    __slots__ = ()

    watch: Watch
    began: float


class WatchedTurn(Observed, Turn):
    """A turn under observation. It is made one when its code begins to run, so it has the fields of `Turn`, and no
    others."""

    def close(self, result: Any, state: bytes | None) -> None:
        super().close(result, state)
        self.watch.ended(self, "finished", "", state is not None, self.attempt)

    def fail(self, error: BaseException) -> None:
        current, attempt = self.is_current, self.attempt
        super().fail(error)
        if current:
            self.watch.ended(self, self._outcome(error), type(error).__name__, False, attempt)

    def discard(self, because: BaseException | None = None) -> None:
        was_open = self.status is OPEN
        super().discard(because)
        if not was_open:
            return
        if self.interrupt is not None:
            because = self.interrupt()
        outcome: Outcome = "discarded" if because is None or isinstance(because, Ignore | CancelledError) else "failed"
        self.watch.ended(self, outcome, "" if because is None else type(because).__name__, False, self.attempt)

    def _outcome(self, error: BaseException) -> Outcome:
        cell, envelope = self.cell, self.envelope
        verdict = judge(cell.options, error)
        if verdict.park or isinstance(error, cell.definition.cls._answers):
            return "rejected"
        if verdict.exits and not (self.batch is not None and len(self.batch) > 1):
            return "failed"
        if type(envelope) is Ask or (envelope is not None and envelope.attempts >= cell.options.max_attempts):
            return "failed"
        return "retried"


class Counters:
    def __init__(self, incarnation: Incarnation) -> None:
        self.started = incarnation.started
        self.since = incarnation.kernel.runtime.now()
        self.turns = self.failed = self.asks = self.tells = self.sends = 0
        self.busy_ms = self.longest_ms = 0.0
        self.longest_type = ""

    def add(self, turn: WatchedTurn, kind: str, outcome: Outcome, duration_ms: float) -> None:
        self.turns += 1
        if type(turn.envelope) is Ask:
            self.asks += 1
        else:
            self.tells += _messages(turn)
        if outcome == "finished":
            self.sends += len(turn.sends or ())
        else:
            self.failed += 1
        self.busy_ms += duration_ms
        if duration_ms > self.longest_ms or not self.longest_type:
            self.longest_ms, self.longest_type = duration_ms, kind

    def read(self, now: float) -> ActorStatistics:
        return ActorStatistics(
            started=self.started,
            since=self.since,
            now=now,
            turns=self.turns,
            failed=self.failed,
            asks=self.asks,
            tells=self.tells,
            messages_in=self.asks + self.tells,
            messages_out=self.sends,
            busy_ms=round(self.busy_ms, 3),
            longest_ms=round(self.longest_ms, 3),
            longest_type=self.longest_type,
        )


def type_of(turn: Turn) -> str:
    """The stored name of the turn's message; "on_start" or "on_stop" if it has none."""
    if turn.message is not None:
        return tag_of(type(turn.message))
    return "on_start" if turn.cell.status == STARTING else "on_stop"


def _messages(turn: Turn) -> int:
    return 1 if turn.batch is None else len(turn.batch)


def _sender(turn: Turn) -> str:
    envelope = turn.envelope
    if type(envelope) is Ask:
        return "" if envelope.asker is None else envelope.asker.cell.address
    return "" if envelope is None else envelope.sender
