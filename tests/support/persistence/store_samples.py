"""Rows for the tests of stores."""

from __future__ import annotations

from typing import Any

from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import (
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
    TimerRow,
)

UID = "0123456789abcdef0123456789abcdef"


def message(number: int, address: str = "/bank/alice", **changes: Any) -> MessageRow:
    row = MessageRow(number, address, 0, None, f"{number:032x}", "", None, "Deposit", '{"amount":5}')
    return seal(row._replace(**changes))


def actor(address: str = "/bank/alice", state: str = '{"balance":0}', incarnation: int = 1) -> ActorRow:
    return seal(ActorRow(address, "bank:Account", state, incarnation, 1.5))


def tell(address: str = "/bank/alice", body: str = "{}", **changes: Any) -> InboxRow:
    return InboxRow(0, "0a" * 16, "tell", address, "Deposit", body, None, 0, None, None, 0)._replace(**changes)


def commit(number: int, *inserts: MessageRow) -> Commit:
    made = Commit(number)
    made.inserts.extend(inserts)
    return made


def pairs() -> list[tuple[Any, Any, Any]]:
    """Of each kind: a row, another one with the same key, and one with the next key."""
    found = [
        (message(1), {"priority": 3, "due": 2.5, "key": "k"}, {"id": 2}),
        (ActorRow("/a", "bank:Account", "{}", 1, 1.0), {"state": '{"x":1}'}, {"address": "/b"}),
        (AttemptRow(1, UID, 1, 5.0, "failed"), {"count": 2}, {"id": 2}),
        (
            DeadLetterRow(1, "/a", UID, "", None, "T", "{}", 5, "failed", "ValueError", "no", "tb", 1.0),
            {"key": "k", "text": "yes"},
            {"id": 2},
        ),
        (TimerRow("/a", "tick", 1.0, '{"every_s":1}', "T", "{}"), {"due": 2.0}, {"name": "tock"}),
        (KeyRow("/a", "k", "digest", 1, 9.0), {"message_id": 2}, {"key": "l"}),
        (tell()._replace(id=1), {"due": 1.0, "expires": 2.0, "key": "k"}, {"id": 2}),
        (ReplyRow(1, 1, "5", "", 1.0), {"ok": 0}, {"id": 2}),
        (ChildRow("/a", "c", 0, "{}", "running"), {"status": "stopped"}, {"supervisor": "/b"}),
        (MonitorRow("m1", "/a", "/b", "monitor"), {"kind": "link"}, {"id": "m2"}),
        (IncidentRow(1, 1.0, "/s", "/a", 1, 1, "error", "E", "t", "tb", "restarted", 1), {"boot": 2}, {"id": 2}),
    ]
    return [(seal(row), seal(row._replace(**same)), seal(row._replace(**other))) for row, same, other in found]
