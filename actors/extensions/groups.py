"""Groups: actors under a name. A message goes to all of them together, or to one of them in turn. OTP: pg.

    class Worker(Actor[None]):
        async def on_start(self) -> None:
            self.join("workers")

    system.group("workers").tell_one(Job(number=1))
    await system.group("workers").tell_all(Reload())

Membership is in memory: it begins and ends at once, ends with the incarnation, and outlives only passivation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import Any

from ...persistence.errors import GreenroomError
from ...persistence.home import Home
from ..delivery.receipt import Receipt
from ..delivery.ref import ActorRef, ref_to
from ..kernel.cell import Cell
from ..kernel.hooks import Extension
from ..kernel.kernel import Kernel
from ..messages.errors import ActorError, shortened
from ..messages.message import Message
from ..messages.signals import Exit

__all__ = ("Group", "GroupEmpty", "Groups", "NotAllTold", "Receipts")

NAME_LENGTH_MAX = 200
GROUPS_MAX = 1_000
"""The number of groups that one actor may be a member of."""


class GroupEmpty(ActorError):
    """The group has no member that could be told. `undelivered` is the message that was not taken."""

    def __init__(self, group: str, undelivered: object = None) -> None:
        self.group = group
        self.undelivered = undelivered
        super().__init__(f"the group {group!r} has no members. Let actors `self.join({group!r})` in `on_start` first")


class NotAllTold(ActorError):
    """Some members of a group couldn't be told; `failed` says why, by address. Those in `told` were."""

    def __init__(self, group: str, failed: Mapping[str, GreenroomError], told: tuple[str, ...]) -> None:
        self.group = group
        self.failed = dict(failed)
        self.told = told
        address, error = next(iter(self.failed.items()))
        super().__init__(
            f"{len(self.failed)} of {len(self.failed) + len(told)} members of {group!r} couldn't be told: "
            f"{address}: {shortened(str(error))}. Tell those in `failed` again, not the whole group"
        )


class Receipts:
    """Awaiting it waits until every message is on disk, as awaiting each `Receipt` does.

    Raises:
        StoreFull, StoreUnavailable, MailboxFull: the error of the first member whose message was lost.
    """

    __slots__ = ("_receipts",)

    def __init__(self, receipts: list[Receipt]) -> None:
        self._receipts = receipts

    def __len__(self) -> int:
        """The number of members that were told."""
        return len(self._receipts)

    def __await__(self) -> Generator[Any, None, None]:
        waiting = [receipt for receipt in self._receipts if not receipt.committed]
        if waiting:
            yield from self._all(waiting).__await__()

    async def _all(self, waiting: list[Receipt]) -> None:
        # All are looked at before the first error is raised; else nobody would have taken the other errors.
        results = await asyncio.gather(*(_settled(receipt) for receipt in waiting), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    @property
    def committed(self) -> bool:
        return all(receipt.committed for receipt in self._receipts)


async def _settled(receipt: Receipt) -> None:
    await receipt


class Group:
    """The actors that have joined a name. It is cheap; there needn't be any members."""

    __slots__ = ("_groups", "name")

    def __init__(self, groups: Groups, name: str) -> None:
        self._groups = groups
        self.name = name

    def members(self) -> list[ActorRef]:
        """The members of now, in the order in which they joined."""
        return self._groups.members(self.name)

    def tell_all(
        self, message: Message, *, key: str | None = None, delay_s: float | None = None, priority: int = 0
    ) -> Receipts:
        """Tell every member, as `ref.tell` does; none, if there is none. Awaiting the result waits for all commits.

        Raises:
            NotAllTold: some members couldn't be told (a full mailbox); the others were.
            GreenroomError: the error of `ref.tell`, if no member could be told.
        """
        self._groups.check_home("tell_all()")
        receipts: dict[str, Receipt] = {}
        failed: dict[str, GreenroomError] = {}
        for member in self.members():
            try:
                receipts[member.address] = member.tell(message, key=key, delay_s=delay_s, priority=priority)
            except GreenroomError as error:
                failed[member.address] = error
        if failed and not receipts:
            raise next(iter(failed.values()))
        if failed:
            raise NotAllTold(self.name, failed, tuple(receipts))
        return Receipts(list(receipts.values()))

    def tell_one(
        self, message: Message, *, key: str | None = None, delay_s: float | None = None, priority: int = 0
    ) -> Receipt:
        """Tell one member, each in its turn, as `ref.tell` does.

        Raises:
            GroupEmpty: it has no members. Also every error that `ref.tell` raises.
        """
        self._groups.check_home("tell_one()")
        member = self._groups.next(self.name)
        if member is None:
            raise GroupEmpty(self.name, message)
        return member.tell(message, key=key, delay_s=delay_s, priority=priority)

    def __len__(self) -> int:
        return len(self.members())

    def __repr__(self) -> str:
        return f"<Group {self.name!r}, {len(self)} members>"


class Groups(Extension):
    """Every group of the node."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._members: dict[str, dict[str, ActorRef]] = {}
        """The members by name, by address. The first one is the next to be told something alone."""
        self.joined: dict[str, dict[str, int]] = {}
        """The names of an actor's groups, by its address; each name with its number."""
        self.concerned = (self.joined,)
        self._count = 0

    def join(self, address: str, name: str) -> None:
        _check_name(name)
        joined = self.joined.setdefault(address, {})
        if name in joined:
            return
        if len(joined) >= GROUPS_MAX:
            raise ValueError(f"{address} is in {GROUPS_MAX} groups already: leave those it isn't needed in")
        self._count += 1
        joined[name] = self._count
        self._members.setdefault(name, {})[address] = ref_to(self._kernel, address)

    def leave(self, address: str, name: str) -> None:
        _check_name(name)
        joined = self.joined.get(address)
        if joined is None or joined.pop(name, None) is None:
            return
        if not joined:
            del self.joined[address]
        members = self._members[name]
        del members[address]
        if not members:
            del self._members[name]

    def ended(self, cell: Cell, end: Exit | None) -> None:
        """Take an actor out of all its groups, because its incarnation is over."""
        for name in list(self.joined.get(cell.address, ())):
            self.leave(cell.address, name)

    def reset(self) -> None:
        """Forget all members, because the tree is being reset from the database: every incarnation is gone."""
        self._members.clear()
        self.joined.clear()

    def check_home(self, call: str) -> None:
        """
        Raises:
            WrongThread
        """
        self._kernel.part(Home).check(call)

    def group(self, name: str) -> Group:
        _check_name(name)
        return Group(self, name)

    def members(self, name: str) -> list[ActorRef]:
        members = self._members.get(name, {})
        return [members[address] for address in sorted(members, key=lambda address: self.joined[address][name])]

    def next(self, name: str) -> ActorRef | None:
        """The member whose turn it is; it goes to the end of the line."""
        members = self._members.get(name)
        if members is None:
            return None
        address = next(iter(members))
        member = members[address] = members.pop(address)
        return member


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{name!r:.100} is no name for a group: write a str")
    if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise ValueError(f"{name!r:.100} is no name for a group: write 1 to {NAME_LENGTH_MAX} printable characters")
