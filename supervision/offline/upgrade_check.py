"""Upgrade check: which stored states and messages this code can't read, found before it runs.

    report = await check_store(store, tree, aliases)
    report.problems, report.remarks, report.rows

Every row is read once, in chunks, and forgotten; rows with the same problem are one finding with a count
and an example.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec

from ...actors.definition.decoding import decode_body
from ...actors.definition.definition import Definition
from ...actors.definition.stored_state import UNFIT, decode_state, read_stored
from ...actors.messages.aliases import Aliases
from ...actors.messages.errors import StateError, UndecodableMessage, UnknownMessageType
from ...persistence.errors import RecordCorrupt
from ...persistence.store.checksums import verify
from ...persistence.store.contract import Store
from ...persistence.store.rows import ROWS, ActorRow, ChildRow, DeadLetterRow, InboxRow, MessageRow, TimerRow
from ..errors import did_you_mean, show
from ..spec.spec import SupervisorSpec
from ..supervisor.child_rows import LEFT, PLANNED
from .lookup import Found, Lookup

__all__ = ("Finding", "Report", "check_store")

FINDINGS_MAX = 500
"""How many findings are told apart; beyond that only their kinds are counted."""
CHUNK = 250
"""How many rows are in memory at once: their bodies may be big."""
NOTE_EVERY = 1_000
"""How many rows are read between two calls of `progress`."""

KINDS: tuple[type[Any], ...] = (ChildRow, ActorRow, MessageRow, InboxRow, TimerRow, DeadLetterRow)


class Finding(msgspec.Struct, kw_only=True):
    """Rows of one kind that share an address (or a supervisor) and a reason."""

    address: str
    """`/bank/accounts/*` for several addresses below one supervisor."""
    what: str
    """state, message, timer, child, dead letter"""
    count: int = 0
    why: str
    fix: str
    """How to mend it, in full sentences but for the last stop; "" if there is nothing to mend."""
    example: str
    """The first row: its address, or for messages the id that `greenroom messages show` takes."""


class Report(msgspec.Struct, kw_only=True):
    rows: dict[str, int]
    """How many of each table were read."""
    problems: list[Finding]
    """Rows that this code can't read."""
    remarks: list[Finding]
    """Rows that nothing will try to read; and dead letters that can't be requeued."""


class _Receiver(NamedTuple):
    address: str
    definition: Definition
    aliases: Aliases


async def check_store(
    store: Store,
    tree: SupervisorSpec,
    aliases: Aliases,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Read every stored child, state, message, timer and dead letter as a node with this tree would.

    Args:
        store: open, for reading at least; a node may run on it.
        tree: checked.
        aliases: settled (`check_aliases`).
        progress: called now and then with the rows read so far, and how many there were at the beginning.

    Raises:
        StoreError: the store can't be read.
    """
    check = _Check(store, tree, aliases)
    total = sum([await store.count(kind) for kind in KINDS])
    done = 0
    async for kind, row in _rows(store):
        await check.row(kind, row)
        done += 1
        if progress is not None and done % NOTE_EVERY == 0:
            progress(done, total)
    return check.report()


async def _rows(store: Store) -> AsyncIterator[tuple[Any, Any]]:
    for kind in KINDS:
        async for row in store.iterate(kind, chunk=CHUNK):
            yield kind, row


class _Check:
    def __init__(self, store: Store, tree: SupervisorSpec, aliases: Aliases) -> None:
        self._lookup = Lookup(tree, store, aliases)
        self._aliases = aliases
        self._read: dict[str, int] = {ROWS[kind].noun: 0 for kind in KINDS}
        self._problems = _Findings()
        self._remarks = _Findings()
        self._checks: dict[type[Any], Callable[[Any], Any]] = {
            ChildRow: self._child,
            ActorRow: self._state,
            MessageRow: self._message,
            InboxRow: self._inbox,
            TimerRow: self._timer,
            DeadLetterRow: self._dead_letter,
        }

    async def row(self, kind: type[Any], row: Any) -> None:
        table = ROWS[kind]
        self._read[table.noun] += 1
        try:
            verify(row)
        except RecordCorrupt:
            address = f"{row.supervisor}/{row.id}" if kind is ChildRow else row.address
            example = ", ".join(map(str, row[: table.key]))
            found = self._remarks if kind is DeadLetterRow else self._problems
            found.add(
                *(_alike(str(address)), str(address), table.noun.replace("_", " "), example),
                "the row is damaged: its checksum doesn't fit",
                "Restore a backup; `greenroom db verify` lists what is damaged",
            )
            return
        await self._checks[kind](row)

    def report(self) -> Report:
        problems = self._problems.all()
        for finding in problems:
            if finding.why == ABSENT:
                near = did_you_mean(finding.address, self._lookup.addresses)
                finding.fix = f"{near} {finding.fix}" if near else finding.fix
        return Report(rows=self._read, problems=problems, remarks=self._remarks.all())

    # -- each kind of row --------------------------------------------------------------------------------

    async def _child(self, row: ChildRow) -> None:
        """Look at a child that came by `StartChild`; the others are in the tree, or don't run."""
        address = f"{row.supervisor}/{row.id}"
        if row.status in (PLANNED, LEFT) or self._lookup.named(address):
            return
        found = await self._lookup.find(address)
        if found.kind == "unusable":
            self._problems.add(address, address, "child", address, found.why, UNUSABLE)

    async def _state(self, row: ActorRow) -> None:
        found = await self._lookup.find(row.address)
        at = (found.pattern, row.address, "state", row.address)
        if self._nowhere(found, at):
            return
        if not found.durable or found.definition is None:
            self._remarks.add(*at, "the actor isn't durable any more: its stored state stays, and isn't read", "")
            return
        receiver = _Receiver(row.address, found.definition, self._aliases)
        try:
            stored = read_stored(receiver, row)
            if found.definition.state_type is not None:
                decode_state(row.address, found.definition, stored.state, "it doesn't fit its type", UNFIT)
        except StateError as error:
            self._problems.add(*at, error.why, error.fix)

    async def _message(self, row: MessageRow) -> None:
        await self._letter(row, "message", str(row.id), self._problems)

    async def _inbox(self, row: InboxRow) -> None:
        if row.kind == "tell":
            await self._letter(row, "message", f"inbox:{row.id}", self._problems)

    async def _timer(self, row: TimerRow) -> None:
        await self._letter(row, "timer", row.name, self._problems)

    async def _dead_letter(self, row: DeadLetterRow) -> None:
        await self._letter(row, "dead letter", str(row.id), self._remarks)

    async def _letter(self, row: Any, what: str, example: str, problems: _Findings) -> None:
        found = await self._lookup.find(row.address)
        at = (found.pattern, row.address, what, example)
        if self._nowhere(found, at, problems):
            return
        assert found.definition is not None
        try:
            decode_body(_Receiver(row.address, found.definition, self._aliases), row.type, row.body.encode())
        except UnknownMessageType as error:
            near = did_you_mean(row.type, error.known)
            why = f"{found.definition.path} has no handler for {show(row.type)}"
            fix = f'Add one; or if the class was renamed, write "{row.type}" = "its new tag" under [aliases.messages]'
            problems.add(*at, why, f"{near} {fix}" if near else fix)
        except UndecodableMessage as error:
            problems.add(*at, f"a {row.type} doesn't decode: {error.why}", "Give new fields a default")

    def _nowhere(self, found: Found, at: tuple[str, str, str, str], problems: _Findings | None = None) -> bool:
        """Whether nothing is there that would read it; if so, that is a finding."""
        what = at[2]
        problems = self._problems if problems is None else problems
        if found.kind == "absent":
            problems.add(*at, ABSENT, f"Give a child that id (again); or delete what is stored: {RETIRE}")
        elif found.kind == "unusable":
            problems.add(*at, f"the child can't be started: {found.why}", UNUSABLE)
        elif found.kind == "supervisor":
            problems.add(*at, "there is a supervisor at this address now", f"Delete what is stored: {RETIRE}")
        elif found.kind == "left":
            why = f"the child isn't in the tree any more: it stays, stopped, and its {what}s stay with it"
            self._remarks.add(*at, why, "`greenroom check --diff` shows it")
        elif found.kind == "transient":
            self._remarks.add(*at, "no child of that id has been started: it stays until one is", "")
        else:
            return False
        return True


ABSENT = "nothing in the tree has this address"
RETIRE = "greenroom actors retire ADDRESS"
UNUSABLE = "Bring its class or arguments back; or forget it: greenroom actors delete ADDRESS"


def _alike(address: str) -> str:
    return f"{address.rpartition('/')[0]}/*"


class _Findings:
    """Findings by address, kind and reason, up to a number."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Finding] = {}
        self._only: dict[tuple[str, str, str], str] = {}
        """The address of a finding that has only one."""

    def add(self, pattern: str, address: str, what: str, example: str, why: str, fix: str) -> None:
        why, fix = why.replace(address, "ADDRESS"), fix.replace(address, "ADDRESS")
        key = (pattern, what, why)
        finding = self._found.get(key)
        if finding is None and len(self._found) >= FINDINGS_MAX:
            key = ("", what, "")
            pattern, why, fix = "(others)", "there are too many findings to tell them all", "Mend those first"
            finding = self._found.get(key)
        if finding is None:
            finding = self._found[key] = Finding(address=pattern, what=what, why=why, fix=fix, example=example)
            if key[0]:
                self._only[key] = address
        finding.count += 1
        if self._only.get(key, address) != address:
            del self._only[key]

    def all(self) -> list[Finding]:
        """In the order in which they were found. Those of a single address name it."""
        for key, address in self._only.items():
            finding = self._found[key]
            finding.address = address
            finding.why = finding.why.replace("ADDRESS", address)
            finding.fix = finding.fix.replace("ADDRESS", address)
        return list(self._found.values())
