"""Mailbox: the in-memory window on a durable mailbox.

An entry is an `Envelope`, a bare `Message` (told to a `durable=False` actor, with nothing else to know), or the int id
of a row that is still only on disk: bodies are read when their turn comes. Where there are many of these, the mailbox
is a `Backlog` (mailbox/backlog.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Final

from ..messages.message import Message
from .envelope import Ask, Envelope

__all__ = ("SYSTEM", "Entry", "Mailbox", "PriorityRow", "priority_of", "replace_rows")

SYSTEM = 1 << 30
"""The priority of system signals, which pass everything."""

Entry = Envelope | Message | int


class PriorityRow(int):
    """The id of a row on disk whose priority isn't 0."""

    priority: int

    @classmethod
    def of(cls, row_id: int, priority: int) -> int:
        if not priority:
            return row_id
        self = cls(row_id)
        self.priority = priority
        return self


def priority_of(entry: Entry) -> int:
    """The lane that an entry belongs to."""
    if isinstance(entry, Envelope | PriorityRow):
        return entry.priority
    return 0


_SPARE: Final[list[deque[Entry]]] = []
"""Empty deques, to be used again: most mailboxes get one message, and are empty again."""
_SPARE_MAX: Final = 64


def _fresh() -> deque[Entry]:
    if _SPARE:
        try:
            return _SPARE.pop()
        except IndexError:  # a node on another thread has taken it
            pass
    return deque()


class Mailbox:
    """The messages that wait: first in, first out, within a priority; higher priorities first. Empty
    ones own no deque."""

    __slots__ = ("count", "lanes", "queue")

    held: ClassVar[bool] = False
    """Whether it holds back everything but system messages, because the actor is suspended."""

    def __init__(self) -> None:
        self.queue: deque[Entry] | None = None
        """The lane of priority 0, which nearly everything takes."""
        self.lanes: dict[int, deque[Entry]] | None = None
        self.count = 0

    @property
    def blocked(self) -> bool:
        """Whether nothing that is here may be handled yet, because older mail is being looked for (`Backlog`)."""
        return False

    def push(self, entry: Entry, priority: int = 0) -> None:
        self.count += 1
        if priority == 0:
            queue = self.queue
            if queue is None:
                queue = self.queue = _fresh()
            queue.append(entry)
            return
        if self.lanes is None:
            self.lanes = {}
        lane = self.lanes.get(priority)
        if lane is None:
            lane = self.lanes[priority] = deque()
            self.lanes = dict(sorted(self.lanes.items(), reverse=True))
        lane.append(entry)

    def add_rows(self, ids: Sequence[int], priority: int) -> None:
        """Add mail that is still only on disk, to the end of its lane."""
        for row_id in ids:
            self.push(PriorityRow.of(row_id, priority), priority)

    def push_front(self, *entries: Entry) -> None:
        """Put entries back at the head of their lanes, in their order."""
        for entry in reversed(entries):
            priority = priority_of(entry)
            Mailbox.push(self, entry, priority)
            lane = self.queue if priority == 0 else (self.lanes or {})[priority]
            assert lane is not None
            lane.rotate(1)

    def _lane(self) -> deque[Entry] | None:
        """The lane whose head is next."""
        if self.lanes is not None:
            below: deque[Entry] | None = None
            for priority, lane in self.lanes.items():
                if priority < 0:
                    below = lane
                    break
                if lane:
                    return lane
            if self.queue:
                return self.queue
            if below is None:
                self.lanes = None
                return self.queue
            for priority, lane in self.lanes.items():
                if priority < 0 and lane:
                    return lane
            self.lanes = None
        return self.queue

    def pop(self) -> Entry:
        """The next entry; only if `count` is positive."""
        lane = self.queue if self.lanes is None else self._lane()
        assert lane is not None
        entry = lane.popleft()
        self.count -= 1
        if self.count == 0:
            self.empty()
        return entry

    def empty(self) -> None:
        """Own no deque, because there is nothing in it."""
        queue, self.queue, self.lanes = self.queue, None, None
        if queue is not None and not queue and len(_SPARE) < _SPARE_MAX:
            _SPARE.append(queue)

    def pop_ask(self) -> Ask | None:
        """The next request of an actor, wherever it stands: it may pass a suspect that waits."""
        for lane in self._all_lanes():
            for index, entry in enumerate(lane):
                if isinstance(entry, Ask) and entry.asker is not None:
                    del lane[index]
                    self.count -= 1
                    return entry
        return None

    def take(self, uid: str, row_id: int) -> Entry | None:
        """Remove one message by uid or row id, wherever it stands."""
        for lane in self._all_lanes():
            for index, entry in enumerate(lane):
                if entry == row_id if isinstance(entry, int) else isinstance(entry, Envelope) and entry.uid == uid:
                    del lane[index]
                    self.count -= 1
                    return entry
        return None

    def leading_rows(self, limit: int) -> list[int]:
        """Ids at the head of the lane that are still only on disk, up to `limit`; they stay where they are."""
        lane = self._lane()
        ids: list[int] = []
        for entry in lane or ():
            if not isinstance(entry, int) or len(ids) == limit:
                break
            ids.append(entry)
        return ids

    def page_in(self, ids: Sequence[int], envelopes: dict[int, Envelope]) -> Mailbox:
        """Replace the leading ids by their envelopes; ids without one (damaged, gone) leave the mailbox.

        Returns the mailbox to go on with: a `Backlog` of which nothing is left on disk becomes a usual one.
        """
        lane = self._lane()
        assert lane is not None
        self.count -= replace_rows(lane, ids, envelopes)
        if self.count == 0:
            self.empty()
        return self

    def settle(self) -> Mailbox:
        """The mailbox to go on with when the scan of the messages on disk is over."""
        return self

    def sift(self, wanted: Callable[[Entry, int], bool]) -> Mailbox:
        """Move the wanted entries into a mailbox of their own. `wanted` gets an entry and its priority."""
        found = Mailbox()
        for priority, lane in [*(self.lanes or {}).items(), (0, self.queue)]:
            if not lane:
                continue
            for entry in [*lane]:
                lane.popleft()
                if wanted(entry, priority):
                    found.push(entry, priority)
                else:
                    lane.append(entry)
        self.count -= found.count
        if self.count == 0:
            self.empty()
        return found

    def move_into(self, other: Mailbox) -> None:
        """Move everything to the end of the other's lanes. This one isn't used any more."""
        for priority, lane in [*(self.lanes or {}).items(), (0, self.queue)]:
            for entry in lane or ():
                other.push(entry, priority)

    def entries(self) -> Iterator[Entry]:
        for lane in self._all_lanes():
            yield from lane

    def _all_lanes(self) -> list[deque[Entry]]:
        lanes = list(self.lanes.values()) if self.lanes else []
        return [*lanes, self.queue] if self.queue is not None else lanes


def replace_rows(lane: deque[Entry], ids: Sequence[int], envelopes: dict[int, Envelope]) -> int:
    """Replace the ids that a lane begins with by their envelopes. Returns how many ids have none."""
    fresh: list[Entry] = []
    for row_id in ids:
        assert lane[0] == row_id
        lane.popleft()
        envelope = envelopes.get(row_id)
        if envelope is not None:
            fresh.append(envelope)
    lane.extendleft(reversed(fresh))
    return len(ids) - len(fresh)
