"""The auditor: reads the bank's database with plain sqlite3, and says whether the books are right.

It knows nothing of greenroom but its tables: `message` (messages on their way), `actor` (states) and
`dead_letter`; and the bank's own `posting`. For each transfer it counts where it stands:

    ordered   a Transfer waits for the account that pays
    refused   that account parked it, for it would have been overdrawn
    debited   a negative posting, in the table or on its way to the journal
    owed      a Credit waits for the account that is paid
    credited  a positive posting, in the table or on its way to the journal

and demands, at whatever moment the node was killed:

    ordered + refused + debited = 1        of each transfer that was acknowledged; at most 1 of any other
    owed + credited             = debited
    each balance                = opening + the account's postings
    all balances + all owed     = all the money there was at the beginning
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = ("Findings", "audit")

SHOWN_MAX = 5


@dataclass
class Findings:
    """The findings of an audit. The three lists should be empty."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged transfers that are nowhere, and transfers of which one side is missing."""
    twice: list[str] = field(default_factory=list)
    """Transfers of which something is there more than once."""
    broken: list[str] = field(default_factory=list)
    """Sums that don't come out, and rows that shouldn't be there at all."""
    accounts: int = 0
    money: int = 0
    waiting: int = 0
    """Messages on their way."""
    refused: int = 0
    transfers: int = 0
    boot: int = 0
    commits: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.broken)

    def lines(self) -> Iterator[str]:
        for title, found in (("lost", self.lost), ("twice", self.twice), ("broken", self.broken)):
            yield from (f"{title}: {line}" for line in found[:SHOWN_MAX])
            if len(found) > SHOWN_MAX:
                yield f"{title}: and {len(found) - SHOWN_MAX} more"


@dataclass
class Standing:
    """Where one transfer stands."""

    ordered: int = 0
    refused: int = 0
    debited: int = 0
    owed: int = 0
    credited: int = 0
    amounts: set[int] = field(default_factory=set)

    def judge(self, transfer: str, promised: bool, findings: Findings) -> None:
        present = self.ordered + self.refused + self.debited
        paid = self.owed + self.credited
        if present == 0:
            if promised:
                findings.lost.append(f"{transfer} was acknowledged")
            if paid:
                findings.broken.append(f"{transfer} was paid to an account and taken from none")
        elif present > 1:
            findings.twice.append(f"{transfer}: {self}")
        elif paid < self.debited:
            findings.lost.append(f"{transfer} was taken from an account and paid to none")
        elif paid > self.debited:
            findings.twice.append(f"{transfer}: {self}")
        if len(self.amounts) > 1:
            findings.broken.append(f"{transfer} has several amounts: {sorted(self.amounts)}")


def audit(database: Path, acknowledged: Collection[str] = (), *, accounts: int, opening: int) -> Findings:
    """Audit a bank whose node isn't running.

    Args:
        acknowledged: the ids of all transfers that were ever acknowledged.
        accounts: how many there must be; 0: they are being opened, so any number will do.
        opening: the balance of each account at first.
    """
    # Read-only, so that the WAL of the killed node stays as it is, for the next node to recover.
    connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only=1")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("BEGIN")
        return _audit(connection, acknowledged, accounts, opening)
    finally:
        connection.close()


def _audit(connection: sqlite3.Connection, acknowledged: Collection[str], accounts: int, opening: int) -> Findings:
    findings = Findings()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if "greenroom_owner" not in tables:  # killed before it had made them
        findings.lost += [f"{transfer} was acknowledged" for transfer in acknowledged]
        return findings
    for findings.boot, findings.commits in connection.execute("SELECT epoch, commit_no FROM greenroom_owner"):
        pass
    standings: defaultdict[str, Standing] = defaultdict(Standing)
    changes: Counter[str] = Counter()

    def post(transfer: str, account: str, change: int) -> None:
        standing = standings[transfer]
        if change < 0:
            standing.debited += 1
        else:
            standing.credited += 1
        standing.amounts.add(abs(change))
        changes[account] += change

    if "posting" in tables:
        for row in connection.execute("SELECT id, account, change FROM posting"):
            post(*row)
    owed = 0
    for kind, text in connection.execute("SELECT type, body FROM greenroom_message"):
        findings.waiting += 1
        body = json.loads(text)
        if kind == "Posting":
            post(body["id"], body["account"], body["change"])
        elif kind == "Transfer":
            standings[body["id"]].ordered += 1
            standings[body["id"]].amounts.add(body["amount"])
        elif kind == "Credit":
            standings[body["id"]].owed += 1
            standings[body["id"]].amounts.add(body["amount"])
            owed += body["amount"]
        else:
            findings.broken.append(f"a message that nobody sent: {kind} {text}")
    for kind, text, cause, why in connection.execute("SELECT type, body, cause, text FROM greenroom_dead_letter"):
        if (kind, cause) == ("Transfer", "rejected"):
            findings.refused += 1
            standings[json.loads(text)["id"]].refused += 1
        else:
            findings.broken.append(f"a dead letter, {cause}: {kind} {text} ({why})")

    for transfer in acknowledged:
        standings[transfer]  # the missing ones get one, too
    promised = set(acknowledged)
    findings.transfers = len(standings)
    for transfer, standing in standings.items():
        standing.judge(transfer, transfer in promised, findings)
    _count_money(connection, changes, owed, accounts, opening, findings)
    return findings


def _count_money(
    connection: sqlite3.Connection,
    changes: Counter[str],
    owed: int,
    accounts: int,
    opening: int,
    findings: Findings,
) -> None:
    balances: dict[str, Any] = {}
    for address, state in connection.execute("SELECT address, state FROM greenroom_actor WHERE type = 'bank:Account'"):
        balances[address.rpartition("/")[2]] = json.loads(state)["balance"]
    findings.accounts = len(balances)
    findings.money = sum(balances.values()) + owed
    if accounts and len(balances) != accounts:
        findings.broken.append(f"there are {len(balances)} accounts of {accounts}")
    if findings.money != opening * len(balances):
        findings.broken.append(f"there are {findings.money} of {opening * len(balances)} in the bank")
    for account in balances.keys() | changes.keys():
        balance, expected = balances.get(account), opening + changes[account]
        if balance != expected:
            findings.broken.append(f"{account} has {balance}, and by its postings {expected}")
        elif balance < 0:
            findings.broken.append(f"{account} is overdrawn: {balance}")
