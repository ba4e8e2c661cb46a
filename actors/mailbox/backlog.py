"""Backlog: the mailbox of an actor with so many messages on disk that an object for each is too much.

    front     what is in memory and goes first: bodies that have been read, what was put back, requests during the scan
    rows      ids of rows, in sequence order, eight bytes each
    behind    what came since

Within a priority they go in this order; among priorities the highest goes first. While the scan of the message heads is
under way (recovery/scan.py), older mail than `behind` may still be found. So `behind` waits.

It takes the place of the usual mailbox as long as there are such rows, so that the usual one needn't ask.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from .envelope import Ask, Envelope
from .mailbox import SYSTEM, Entry, Mailbox, PriorityRow, priority_of, replace_rows

__all__ = ("FEW", "Backlog", "Rows")

FEW = 256
"""With so many rows or fewer, they are entries of a usual mailbox."""
SHRINK = 8_192
"""Ids that are taken before their memory is given back."""


class _Ids:
    """Ids in order, to be taken from the front."""

    __slots__ = ("_first", "_ids")

    def __init__(self) -> None:
        self._ids = array("q")
        self._first = 0

    def __len__(self) -> int:
        return len(self._ids) - self._first

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids[self._first :])

    def extend(self, ids: Iterable[int]) -> None:
        self._ids.extend(ids)

    def head(self, limit: int) -> list[int]:
        return self._ids[self._first : self._first + limit].tolist()

    def drop(self, count: int) -> None:
        self._first += count
        if self._first >= SHRINK and 2 * self._first >= len(self._ids):
            del self._ids[: self._first]
            self._first = 0

    def give_back(self, row_id: int) -> bool:
        """Undo the last `drop`, if it took this id."""
        if self._first and self._ids[self._first - 1] == row_id:
            self._first -= 1
            return True
        return False

    def remove(self, row_id: int) -> bool:
        try:
            del self._ids[self._ids.index(row_id, self._first)]
        except ValueError:
            return False
        return True


class Rows:
    """Ids of one mailbox, by priority."""

    __slots__ = ("count", "lanes")

    def __init__(self) -> None:
        self.lanes: dict[int, _Ids] = {}
        self.count = 0

    def add(self, ids: Sequence[int], priority: int) -> None:
        lane = self.lanes.get(priority)
        if lane is None:
            lane = self.lanes[priority] = _Ids()
        lane.extend(ids)
        self.count += len(ids)

    def __iter__(self) -> Iterator[int]:
        """The ids, those of the highest priority first."""
        for priority in sorted(self.lanes, reverse=True):
            for row_id in self.lanes[priority]:
                yield PriorityRow.of(row_id, priority)


class Scanned(Protocol):
    """The index of mail on disk (index.py)."""

    scanning: bool
    """Whether there may be messages on disk that the index doesn't know of yet."""


class Backlog(Mailbox):
    """The mailbox. `queue` and `lanes` are the front; `count` counts all.

    As in any mailbox, the head of `queue` is next while `lanes` is None: so `lanes` isn't None as long as any entry
    here, or behind, has a priority.
    """

    __slots__ = ("_index", "_on_mail", "behind", "parked", "rows")

    def __init__(self, index: Scanned, on_mail: Callable[[], object]) -> None:
        """
        Args:
            on_mail: called when there is something to handle again, after it was parked.
        """
        super().__init__()
        self._index = index
        self._on_mail = on_mail
        self.rows = Rows()
        self.behind = Mailbox()
        self.parked = False
        """Whether the cell waits for the scan, because everything it has is behind."""

    # -- what comes -----------------------------------------------------------------------------------

    def add_rows(self, ids: Sequence[int], priority: int) -> None:
        self.rows.add(ids, priority)
        self.count += len(ids)
        if priority and self.lanes is None:
            self.lanes = {}
        self._unpark()

    def add_behind(self, ids: Sequence[int], priority: int) -> None:
        """Add rows of messages that were told since the scan began."""
        self.behind.add_rows(ids, priority)
        self.count += len(ids)
        if priority and self.lanes is None:
            self.lanes = {}

    def push(self, entry: Entry, priority: int = 0) -> None:
        if self._index.scanning and (priority >= SYSTEM or not (_has_row(entry) or self.behind.count)):
            super().push(entry, priority)  # a request, or a signal: the scan won't find what it would pass
            self._unpark()
            return
        self.count += 1
        self.behind.push(entry, priority)
        if priority and self.lanes is None:
            self.lanes = {}

    def push_front(self, *entries: Entry) -> None:
        if len(entries) == 1 and isinstance(entries[0], int):
            priority = priority_of(entries[0])
            lane = self.rows.lanes.get(priority)
            if lane is not None and lane.give_back(entries[0]):
                self.rows.count += 1
                self.count += 1
                if priority and self.lanes is None:
                    self.lanes = {}
                return
        super().push_front(*entries)
        self._unpark()

    def _unpark(self) -> None:
        """Note that there is something to do. The caller wakes the cell."""
        if self.parked:
            self.parked = False
            self._on_mail()

    # -- what goes ------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether all mail that is here waits for the scan."""
        return self._place() is None

    def _place(self) -> tuple[int, deque[Entry] | _Ids] | None:
        """The priority of the next entry, and the lane that it is at the head of."""
        best: tuple[int, deque[Entry] | _Ids] | None = None
        for priority, lane in self._candidates():
            if lane and (best is None or priority > best[0]):
                best = priority, lane
        return best

    def _candidates(self) -> Iterator[tuple[int, deque[Entry] | _Ids]]:
        mailboxes: tuple[Mailbox, ...] = (self,) if self._index.scanning else (self, self.behind)
        for mailbox in mailboxes:
            if mailbox.queue:
                yield 0, mailbox.queue
            if mailbox.lanes is not None:
                yield from mailbox.lanes.items()
            if mailbox is self:
                yield from self.rows.lanes.items()

    def pop(self) -> Entry:
        """The next entry; 0, which is no row's id, if it is `blocked`."""
        if self.queue and self.lanes is None:
            self.count -= 1
            return self.queue.popleft()
        place = self._place()
        if place is None:
            return 0
        self.count -= 1
        priority, lane = place
        if isinstance(lane, _Ids):
            row_id = PriorityRow.of(lane.head(1)[0], priority)
            lane.drop(1)
            self.rows.count -= 1
            self._level()
            return row_id
        entry = lane.popleft()
        self._count_behind(lane)
        self._level()
        return entry

    def _level(self) -> None:
        """Drop the lanes where nothing has a priority any more."""
        if self.lanes is None:
            return
        behind = self.behind
        if behind.lanes is not None and not any(behind.lanes.values()):
            behind.lanes = None
        rows_have = any(priority and ids for priority, ids in self.rows.lanes.items())
        if not (rows_have or any(self.lanes.values()) or behind.lanes is not None):
            self.lanes = None

    def _count_behind(self, lane: deque[Entry], taken: int = 1) -> None:
        """Reduce the count of a lane of `behind`, because so many entries were taken from it."""
        behind = self.behind
        if lane is behind.queue or (behind.lanes is not None and any(lane is one for one in behind.lanes.values())):
            behind.count -= taken

    def pop_ask(self) -> Ask | None:
        ask = super().pop_ask()
        if ask is None:
            ask = self.behind.pop_ask()
            self.count -= ask is not None
        return ask

    def take(self, uid: str, row_id: int) -> Entry | None:
        found = super().take(uid, row_id)
        if found is not None:
            return found
        for priority, lane in self.rows.lanes.items():
            if lane.remove(row_id):
                self.rows.count -= 1
                self.count -= 1
                return PriorityRow.of(row_id, priority)
        found = self.behind.take(uid, row_id)
        self.count -= found is not None
        return found

    def leading_rows(self, limit: int) -> list[int]:
        place = self._place()
        if place is None:
            return []
        lane = place[1]
        if isinstance(lane, _Ids):
            return lane.head(limit)
        ids: list[int] = []
        for entry in lane:
            if not isinstance(entry, int) or len(ids) == limit:
                break
            ids.append(entry)
        return ids

    def page_in(self, ids: Sequence[int], envelopes: dict[int, Envelope]) -> Mailbox:
        place = self._place()
        assert place is not None
        priority, lane = place
        if isinstance(lane, _Ids):
            assert lane.head(len(ids)) == list(ids)
            lane.drop(len(ids))
            self.rows.count -= len(ids)
            self.count -= len(ids)
            for row_id in ids:
                if row_id in envelopes:
                    super().push(envelopes[row_id], priority)
            self._level()
        else:
            missing = replace_rows(lane, ids, envelopes)
            self.count -= missing
            self._count_behind(lane, missing)
        return self if self.rows.count or self._index.scanning else self.settle()

    # -- the rest ---------------------------------------------------------------------------------------

    def settle(self) -> Mailbox:
        """The mailbox to go on with, once the scan is over: a usual one with all that is here, unless there are too
        many rows for that."""
        self._unpark()
        if self.rows.count > FEW:
            return self
        usual = Mailbox()
        self.move_into(usual)
        return usual

    def move_into(self, other: Mailbox) -> None:
        super().move_into(other)
        for row_id in self.rows:
            other.push(row_id, priority_of(row_id))
        self.behind.move_into(other)

    def sift(self, wanted: Callable[[Entry, int], bool]) -> Mailbox:
        found = super().sift(wanted)
        behind = self.behind.sift(wanted)
        self.count -= behind.count
        behind.move_into(found)
        return found

    def entries(self) -> Iterator[Entry]:
        yield from super().entries()
        yield from self.rows
        yield from self.behind.entries()


def _has_row(entry: Entry) -> bool:
    return isinstance(entry, int) or (isinstance(entry, Envelope) and entry.id != 0)
