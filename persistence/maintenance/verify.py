"""Verify: checks the structure and all rows of a database, and says what is damaged, what follows, and what helps.

SQLite checks its pages and indexes (`PRAGMA integrity_check`), but not the values in them: it finds a few of a hundred
single flipped bits in rows. The checksum of each row finds the others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple, cast

import msgspec

from ..engines.sqlite.driver import ERRORS, connect, translate
from ..engines.sqlite.ownership import wrong_owner
from ..engines.sqlite.sidecars.loss import Loss, find, preserve, refuse
from ..engines.sqlite.sidecars.mark import read_mark
from ..engines.sqlite.upgrade import inspect
from ..errors import RecordCorrupt, StoreCorrupt
from ..migrations.version import SCHEMA_VERSION
from ..store.checksums import verify
from ..store.rows import (
    OWNER_TABLE,
    ROWS,
    ActorRow,
    AttemptRow,
    ChildRow,
    DeadLetterRow,
    InboxRow,
    IncidentRow,
    KeyRow,
    MessageRow,
    MonitorRow,
    ReplyRow,
    Row,
    Table,
    TimerRow,
)
from .progress import Progress, unseen

__all__ = (
    "INSTRUCTIONS",
    "Damage",
    "Findings",
    "error_of",
    "interrupted",
    "look_for_signals",
    "verify_file",
    "verify_store",
)

SHOWN_MAX = 1000
"""So many damages are kept; the others are only counted."""
STRUCTURE_LINES_MAX = 100
ROWS_AT_ONCE = 1000
INSTRUCTIONS = 100_000
"""So many instructions of SQLite's machine run between two looks for a Ctrl-C."""


class Damage(NamedTuple):
    """One row, or one part of the structure, that isn't as it was written."""

    table: str
    """"" for the structure of the file."""
    key: tuple[str, ...]
    address: str
    """The address of the actor that the row is about; "" if it is about none."""
    why: str
    effect: str
    """The consequence."""
    remedy: str
    """The thing to do."""


class Findings:
    """The findings in a whole database."""

    def __init__(self, schema_version: int) -> None:
        self.schema_version = schema_version
        self.rows = 0
        """How many rows were read. Rows of an older schema aren't, because their checksums are over other columns."""
        self.count = 0
        """How many damages there are."""
        self.structure = 0
        """How many of them are in the file's structure."""
        self.damages: list[Damage] = []
        """The first damages, at most SHOWN_MAX."""
        self.loss: Loss | None = None
        """The commits that are missing; None if none are, or the schema is older."""

    def add(self, damage: Damage) -> None:
        self.count += 1
        self.structure += not damage.table
        if len(self.damages) < SHOWN_MAX:
            self.damages.append(damage)


class _Consequence(NamedTuple):
    effect: str
    remedy: str
    json: tuple[str, ...] = ()
    """The columns that hold JSON."""


_STRUCTURE = _Consequence(
    "SQLite may fail, or answer wrongly, wherever it comes across this",
    "stop the node, keep a copy of the file, restore a backup",
)
_ACTOR = "its actor doesn't start"
_CONSEQUENCES: dict[type[Row], _Consequence] = {
    MessageRow: _Consequence(
        "when its turn comes, it is made a dead letter (cause: corrupt); the messages behind it are handled",
        "`greenroom dead list` shows it then; tell it again",
        ("body",),
    ),
    ActorRow: _Consequence(
        f"{_ACTOR}, which its supervisor treats as any failed start; its mailbox waits",
        "restore a backup, or give the state up: greenroom actors reset {address}",
        ("state",),
    ),
    AttemptRow: _Consequence(
        "the attempts of its message are counted from nothing: a dead letter later than it should be",
        "nothing: the row goes with its message",
    ),
    DeadLetterRow: _Consequence("it can't be requeued", "greenroom dead discard {key}"),
    TimerRow: _Consequence(
        "the node starts without it: its messages don't come", "schedule it again", ("rule", "body")
    ),
    KeyRow: _Consequence(
        "whatever is told to {address} under this key is refused, from the first such tell on for as long as keys are "
        "kept: it isn't known whether it was told before",
        "tell it under another key, if it hasn't been handled",
    ),
    InboxRow: _Consequence(
        "the node makes it a dead letter (cause: corrupt) when it takes it in",
        "`greenroom dead list` shows it then; tell it again",
        ("body",),
    ),
    ReplyRow: _Consequence("its asker gets an error", "nothing: the row goes after a minute"),
    ChildRow: _Consequence(
        "one that the tree names is written anew at the next start, as one that starts; any other is missing then",
        "if it came by StartChild: start it again. If it was to stay stopped: greenroom actors stop {address}",
        ("spec",),
    ),
    MonitorRow: _Consequence("{address} isn't told when its target exits", "monitor, or link, again"),
    IncidentRow: _Consequence("it doesn't count for the restart intensities after a crash", "nothing"),
}


def verify_file(path: str, progress: Progress = unseen) -> Findings:
    """Check the database at `path`, and whether it lacks commits. Raises as `verify_store`."""
    preserve(path)
    noted = read_mark(f"{path}.mark")
    with closing(connect(path, reads_only=True)) as connection:
        findings = verify_store(connection, path, progress)
        if findings.schema_version == SCHEMA_VERSION:
            with suppress(sqlite3.Error):  # a damaged table, which is among the findings
                findings.loss = find(connection, noted)
    return findings


def error_of(findings: Findings, path: str) -> StoreCorrupt | None:
    """The error that a database with these findings deserves; None for one that is whole. A damaged WAL is copied."""
    if findings.loss is not None:
        return refuse(path, findings.loss)
    if not findings.count:
        return None
    structure = ", and so is the file's structure" if findings.structure else ""
    damaged = findings.count - findings.structure
    return StoreCorrupt(path, f"{damaged} of {findings.rows:,} rows are damaged{structure}")


def verify_store(connection: sqlite3.Connection, path: str, progress: Progress = unseen) -> Findings:
    """Check everything in a database, beside its node or without one. Rows are read a thousand at a time.

    Each table is read in a transaction of its own. Until that ends, the node's WAL can't begin anew.

    Args:
        connection: a connection that nothing else uses.
        progress: called with the rows read and the rows in all; with (0, 0) while the structure is checked.

    Raises:
        StoreCorrupt, SchemaTooNew: the file can't be read as a store at all.
        StoreUnavailable: an I/O error.
    """
    usual = connection.text_factory
    connection.text_factory = _readable
    connection.set_progress_handler(look_for_signals, INSTRUCTIONS)
    try:
        findings = Findings(inspect(connection, path))
        progress(0, 0)
        for line in _structure(connection):
            findings.add(Damage("", (), "", line, *_STRUCTURE[:2]))
        if findings.schema_version == SCHEMA_VERSION:
            _check_rows(connection, findings, progress)
        return findings
    except ERRORS as error:
        if interrupted(error):
            raise KeyboardInterrupt from None
        raise translate(error, path) from error
    finally:
        connection.set_progress_handler(None, 0)
        connection.text_factory = usual


def _structure(connection: sqlite3.Connection) -> list[str]:
    """SQLite's own complaints. SQLite: pragma.html#pragma_integrity_check"""
    try:
        lines = [str(line) for (line,) in connection.execute(f"PRAGMA integrity_check({STRUCTURE_LINES_MAX})")]
    except sqlite3.DatabaseError as error:
        if interrupted(error):
            raise
        return [str(error)]
    return [] if lines == ["ok"] else [line.removeprefix("*** in database main ***\n") for line in lines]


def _check_rows(connection: sqlite3.Connection, findings: Findings, progress: Progress) -> None:
    total = sum(_count(connection, table.name) for table in ROWS.values())
    for kind, table in cast("dict[Any, Table]", ROWS).items():
        try:
            for row in _rows(connection, kind, table.name):
                findings.rows += 1
                if (why := _wrong(kind, row)) is not None:
                    findings.add(_damage(kind, table, row, why))
                if not findings.rows % ROWS_AT_ONCE:
                    progress(findings.rows, max(total, findings.rows))
        except sqlite3.DatabaseError as error:
            if interrupted(error):
                raise
            findings.add(Damage("", (), "", f"table {table.name}: {error}", *_STRUCTURE[:2]))
    try:
        why = wrong_owner(connection)
    except sqlite3.DatabaseError as error:
        if interrupted(error):
            raise
        why = str(error)
    if why is not None:
        effect = "the node doesn't start, or gives numbers twice"
        findings.add(Damage(OWNER_TABLE, (), "", why, effect, _STRUCTURE.remedy))
    progress(findings.rows, findings.rows)


def _count(connection: sqlite3.Connection, table: str) -> int:
    try:
        return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
    except sqlite3.DatabaseError as error:
        if interrupted(error):
            raise
        return 0


def _rows(connection: sqlite3.Connection, kind: Any, table: str) -> Iterator[Any]:
    """The rows in the order of the table itself, because damaged keys in an index could lead round in circles."""
    names = ", ".join(f'"{column}"' for column in kind._fields)
    cursor = connection.execute(f'SELECT {names} FROM "{table}" NOT INDEXED')
    try:
        while some := cursor.fetchmany(ROWS_AT_ONCE):
            yield from map(kind._make, some)
    finally:
        cursor.close()  # an unfinished SELECT would pin the WAL


def _wrong(kind: type[Row], row: Any) -> str | None:
    """The reason why a row isn't as it was written; None if it is."""
    try:
        verify(row)
    except RecordCorrupt as error:
        return error.why
    for column in _CONSEQUENCES[kind].json:
        try:
            msgspec.json.decode(getattr(row, column))
        except Exception as error:  # whatever a decoder raises, this is no JSON
            return f"{column} isn't JSON: {error}"
    return None


def _damage(kind: type[Row], table: Table, row: Any, why: str) -> Damage:
    key = tuple(str(part) for part in row[: table.key])
    if isinstance(row, ChildRow):
        address = f"{row.supervisor}/{row.id}"
    else:
        address = str(getattr(row, "address", "") or getattr(row, "watcher", ""))
    effect, remedy, _ = _CONSEQUENCES[kind]
    names = {"address": address, "key": " ".join(key)}
    return Damage(table.name, key, address, why, effect.format_map(names), remedy.format_map(names))


def interrupted(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT


def look_for_signals() -> int:
    """Do nothing. Running Python code lets the interpreter handle a Ctrl-C, and its exception stops SQLite."""
    return 0


def _readable(raw: bytes) -> str:
    """Text, with bytes escaped that aren't UTF-8: such text fails its checksum."""
    return raw.decode("utf-8", "backslashreplace")
