"""Events: the one table of what a node reports. Logs, metrics and observers subscribe; nothing else is emitted.

| event | address | measures |
| --- | --- | --- |
| node.started | the root's | boot, pending (found so far, of a large backlog), suspects |
| node.stopped | the root's | |
| node.broken | the root's | error, text |
| node.recovered | the root's | down_s |
| node.gave_up | the root's | reason, text |
| recovery.started | the root's | suspects, alone, absent |
| recovery.ended | the root's | suspects, charged, forgotten, took_s |
| actor.started | actor's | incarnation |
| actor.exited | actor's | incarnation, kind, error, text, traceback |
| actor.start_failed | actor's | error, text |
| actor.stop_failed | actor's | error, text, traceback |
| actor.abandoned | actor's | incarnation, after_s |
| actor.passivated | actor's | |
| actor.retired | actor's | |
| actor.turn | actor's, while somebody traces it | incarnation, began, type, uid, sender, attempt, messages, outcome, \
error, duration_ms, sends, state_changed, mailbox |
| message.failed | receiver's | uid, type, attempt, error, text, retry_s |
| message.parked | receiver's | uid, type, cause, attempts, error, text |
| message.orphaned | receiver's | pending |
| task.restarting | task supervisor's | task, task_name, error, text, restarts, retry_s |
| task.failed | task supervisor's | task, task_name, error, text, traceback, restarts, awaited |
| task.abandoned | task supervisor's | task, task_name |
| supervisor.restarting | supervisor's | child, strategy, children |
| supervisor.gave_up | supervisor's | child, intensity, period_s |
| clock.jumped | the root's | by_s |
| store.wal_large | the root's | bytes, limit, held_by |
| store.commits_lost | the root's | missing |
| store.row_damaged | whose row it is, or the root's | text, effect |
| store.dead_letters_deleted | the root's | count, limit |

Failures are published at once, not after a commit, because they have happened whatever becomes of the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from loguru import logger

__all__ = ("EVENTS", "Event", "Events")

EVENTS = frozenset(
    line.split("|")[1].strip()
    for line in (__doc__ or "").splitlines()
    if line.startswith("| ") and "." in line.split("|")[1]
)
"""Every name there is, read from the table above."""


class Event(msgspec.Struct, frozen=True):
    """One thing that happened."""

    name: str
    at: float
    """Epoch seconds."""
    address: str
    measures: dict[str, Any]


class Events:
    """Hands each event to its subscribers, in the order they subscribed."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._subscribers: list[Callable[[Event], object]] = []

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call `subscriber`, which must not block, with every event from now on.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def emit(self, name: str, address: str, **measures: Any) -> None:
        if not self._subscribers:
            return
        assert name in EVENTS, name
        event = Event(name, self._now(), address, measures)
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except KeyboardInterrupt:
                raise
            except BaseException:
                # An observer must not bring down the node that it observes.
                logger.exception("a subscriber failed at {}", name)
