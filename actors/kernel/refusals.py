"""Refusals: who answers for data that the database refuses (docs/semantics/commit.md).

| whose data | who answers |
| --- | --- |
| a message's turn | the message, by a failed attempt |
| a request's turn | its asker: one outside has the error; an actor, by the message in whose turn it asked |
| a tell from outside | the teller, who has the error; an inbox row is parked, or answered with it |
| a tick, with its timer | the tick: a dead letter, and the timer goes on |
| an `on_start` | the actor: its start turns out to have failed, and so it exits |
| an `on_stop` | the actor, with the next one |
| anything else | nobody; a node to which that happens again and again gives up |

What came after the refused data in the commit order is dropped, and the tree is reset. Once is enough: from then on
the starts and stops of that actor wait for their own commit before anybody sees anything of them, and a refusal is a
failure as any other.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from loguru import logger

from ...persistence.commit.effects import Effects, Entry, Handled, Told
from ...persistence.errors import StoreDataError, StoreError, StoreUnavailable
from ...persistence.store.checksums import seal
from ...persistence.store.rows import AttemptRow, InboxRow
from ..extensions.timers.timer import Timer
from ..mailbox.envelope import Ask, Envelope
from ..messages.signals import ExitReason
from .failures import letter_effects, report_parked
from .turn import Turn

if TYPE_CHECKING:
    from ..system import ActorSystem
    from .cell import Cell

__all__ = ("PERIOD_S", "RESETS_MAX", "Refusals")

RESETS_MAX = 10
PERIOD_S = 60.0
"""So many resets within so many seconds are borne for data that nobody answers for."""
WARY_MAX = 10_000
"""Actors that are remembered for a refused start or stop; the oldest are forgotten."""

NOTHING = Effects()


class Refusals:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._wary: dict[str, None] = {}
        """Whose starts and stops wait for their commit."""
        self.unsaid: dict[str, ExitReason] = {}
        """Starts that were refused when the actor was up already: it exits with its next start."""
        self._resets: deque[float] = deque(maxlen=RESETS_MAX)
        self._asked: Ask | None = None
        """In whose turn the data were written that have been refused."""

    # -- the committer's questions -----------------------------------------------------------------------

    def charge(self, effects: Entry, error: StoreDataError) -> Effects | None:
        """What is to be committed in place of the refused effects; None if nobody answers for them."""
        turn, self._asked = effects.guilty, None
        if isinstance(turn, Timer):
            assert isinstance(effects, Effects)
            return self._ticked(effects, error) if effects.inserts else None
        if not isinstance(turn, Turn):
            assert not isinstance(effects, Handled)
            return self._told(effects, error)
        asked = turn
        while isinstance(asked.envelope, Ask):
            self._asked, asker = asked.envelope, asked.envelope.asker
            if asker is None or 0 < asker.position <= self._system.committer.committed:
                return NOTHING  # it has the error; or it didn't wait for the reply, and won't ask again
            asked = asker
        envelope = asked.envelope
        if envelope is not None:
            return self._attempt(asked.cell, envelope, error) if envelope.id else NOTHING  # in memory, and lost there
        if asked.message is not None:
            return NOTHING
        return self._started(turn, error) if asked is turn else None

    def to_asker(self, ask: Ask, error: StoreError) -> StoreError:
        """What somebody outside is told whose reply is lost: refused data are the asker's only if he asked for them."""
        if isinstance(error, StoreDataError) and ask is not self._asked:
            return StoreUnavailable("the database refused what another turn wrote before the reply; ask again")
        return error

    def bears(self, error: StoreError) -> bool:
        """Whether the node bears one more reset that nobody answers for. If not, it has given up now."""
        if not isinstance(error, StoreDataError):
            return True
        now, resets = self._system.runtime.monotonic(), self._resets
        resets.append(now)
        if len(resets) < RESETS_MAX or resets[0] < now - PERIOD_S:
            return True
        why = (
            f"{error.why}. That, or the like, has reset the tree {RESETS_MAX} times within {PERIOD_S:g} s, and no "
            "message or actor is to blame. Look for triggers and constraints on greenroom's tables"
        )
        self._system.recovery.give_up(StoreDataError(why))
        return False

    def _attempt(self, cell: Cell, envelope: Envelope, error: StoreDataError) -> Effects:
        envelope.attempts += 1
        if envelope.attempts >= cell.options.max_attempts:
            reason = ExitReason.from_exception(error)
            report_parked(self._system, envelope, reason, "failed")
            return letter_effects(self._system, envelope, reason, "failed")
        delay_s = cell.options.backoff.delay_s(envelope.attempts, self._system.jitter)
        due = self._system.runtime.now() + delay_s
        row = seal(AttemptRow(envelope.id, envelope.uid, envelope.attempts, due, f"refused: {error.why}"))
        return Effects(rows=(row,))

    def _told(self, effects: Told | Effects, error: StoreDataError) -> Effects | None:
        """Effects without a turn: a tell from outside, or what the runtime writes of itself."""
        if len(effects.inserts) != 1:
            return None
        envelope = effects.inserts[0]
        if not isinstance(envelope, Envelope) or envelope.sender:
            return None
        for kind, key in effects.deletes:
            if kind is InboxRow and self._system.inbox is not None:
                self._system.inbox.refused[key] = error
        logger.error("the database refused a {} told to {}: {}", envelope.tag, envelope.address, error)
        return NOTHING

    def _ticked(self, effects: Effects, error: StoreDataError) -> Effects:
        envelope = effects.inserts[0]
        assert isinstance(envelope, Envelope)
        reason = ExitReason.from_exception(error)
        report_parked(self._system, envelope, reason, "failed")
        letter = letter_effects(self._system, envelope, reason, "failed")
        return Effects(rows=(*effects.rows, *letter.rows), deletes=effects.deletes)

    # -- starts and stops --------------------------------------------------------------------------------

    def _started(self, turn: Turn, error: StoreDataError) -> Effects | None:
        cell = turn.cell
        if self.wary(cell):
            return None
        while len(self._wary) >= WARY_MAX:
            del self._wary[next(iter(self._wary))]
        self._wary[cell.address] = None
        if cell.incarnation is turn.incarnation and not cell.on_demand:  # under a template its first message is charged
            self.unsaid[cell.address] = ExitReason.from_exception(error)
        return NOTHING

    def wary(self, cell: Cell) -> bool:
        """Whether the starts and stops of this actor wait for their commit."""
        return cell.address in self._wary

    def say(self, cell: Cell) -> bool:
        """In place of a start: if its last one was refused, that is the exit of the actor."""
        reason = self.unsaid.pop(cell.address, None)
        if reason is None:
            return False
        self._system.exits.ended(cell, self._system.next_incarnation(), reason)
        return True
