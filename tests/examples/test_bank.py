"""The bank survives kills, and its auditor finds what a bank that doesn't would show."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from audit import Findings, audit
from chaos import OPENING, Chaos, NodeFailedError

BANK = Path(__file__).resolve().parents[2] / "examples" / "bank"
pytestmark = pytest.mark.timeout(300)

ACCOUNTS = 10


def run_chaos(folder: Path, kills: int, seed: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BANK), "--chaos", "--kills", str(kills), "--seed", str(seed), "--dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_five_kills(tmp_path: Path) -> None:
    done = run_chaos(tmp_path / "bank", 5, seed=1)
    assert done.returncode == 0, done.stdout + done.stderr
    log = (tmp_path / "bank" / "acknowledged.log").read_text().split()
    findings = audit(tmp_path / "bank" / "bank.db", log, accounts=50, opening=OPENING)
    assert findings.clean
    assert findings.waiting == 0
    early = int(re.search(r"while the node started\D+(\d+)", done.stdout)[1])  # perhaps before it counted its boot
    assert 6 - early <= findings.boot <= 6
    working = int(re.search(r"while the tellers made transfers\D+(\d+)", done.stdout)[1])
    assert early + working == 5
    assert len(log) > 50


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_two_hundred_kills(tmp_path: Path) -> None:
    done = run_chaos(tmp_path / "bank", 200, seed=2)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_friendly_demo_goes_on_where_it_was(tmp_path: Path) -> None:
    shutil.copytree(BANK, tmp_path / "bank", ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    for last in ("745", "490"):
        done = subprocess.run([sys.executable, str(tmp_path / "bank")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert last in done.stdout


# -- a checker that can't fail is worth nothing ---------------------------------------------------------------


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bank that was killed twice and has settled, and the transfers that it acknowledged."""
    chaos = Chaos(tmp_path_factory.mktemp("bank"), seed=3, accounts=ACCOUNTS, tellers=4)
    try:
        while chaos.tally.kills < 2 or len(chaos.tally.acknowledged) < 50:
            chaos.kill_once()
        chaos.settle()
    finally:
        chaos.close()
    assert chaos.tally.clean, chaos.tally
    with closing(sqlite3.connect(chaos.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return chaos.database, sorted(chaos.tally.acknowledged)


def audited(
    books: tuple[Path, list[str]], folder: Path, fault: Callable[[sqlite3.Connection, str], None] | None
) -> tuple[Findings, str]:
    """Audit a copy of the books with a fault in it; also the transfer that was chosen for it."""
    source, acknowledged = books
    copy = Path(shutil.copy(source, folder / "bank.db"))
    with closing(sqlite3.connect(copy)) as connection, connection:
        chosen = connection.execute("SELECT id FROM posting WHERE change < 0 ORDER BY id LIMIT 1").fetchone()[0]
        if fault is not None:
            fault(connection, chosen)
    return audit(copy, acknowledged, accounts=ACCOUNTS, opening=OPENING), chosen


def change_balance(connection: sqlite3.Connection, by: int) -> None:
    address, state = connection.execute(
        "SELECT address, state FROM greenroom_actor WHERE type = 'bank:Account' ORDER BY address LIMIT 1"
    ).fetchone()
    changed = json.dumps({"balance": json.loads(state)["balance"] + by})
    connection.execute("UPDATE greenroom_actor SET state = ? WHERE address = ?", (changed, address))


def send(connection: sqlite3.Connection, kind: str, **body: object) -> None:
    connection.execute(
        "INSERT INTO greenroom_message (id, address, priority, uid, sender, type, body, crc)"
        " VALUES (?, ?, 0, '', '', ?, ?, 0)",
        (1 << 60, "/bank/accounts/a001", kind, json.dumps(body)),
    )


def test_right_books_are_found_right(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, _ = audited(books, tmp_path, None)
    assert findings.clean
    assert findings.money == ACCOUNTS * OPENING
    assert list(findings.lines()) == []


def test_a_transfer_that_is_gone_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, chosen = audited(books, tmp_path, lambda c, id_: c.execute("DELETE FROM posting WHERE id = ?", (id_,)))
    assert findings.lost == [f"{chosen} was acknowledged"]


def test_a_transfer_that_never_came_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, _ = audited((books[0], [*books[1], "9.9-9"]), tmp_path, None)
    assert findings.lost == ["9.9-9 was acknowledged"]


def test_a_credit_that_is_gone_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, chosen = audited(
        books, tmp_path, lambda c, id_: c.execute("DELETE FROM posting WHERE id = ? AND change > 0", (id_,))
    )
    assert findings.lost == [f"{chosen} was taken from an account and paid to none"]
    assert len(findings.broken) == 1  # the balance of whom it was paid to


@pytest.mark.parametrize("side", ["<", ">"])
def test_a_side_that_was_applied_twice_is_found(books: tuple[Path, list[str]], tmp_path: Path, side: str) -> None:
    def twice(connection: sqlite3.Connection, transfer: str) -> None:
        connection.execute(f"INSERT INTO posting SELECT * FROM posting WHERE id = ? AND change {side} 0", (transfer,))

    findings, chosen = audited(books, tmp_path, twice)
    assert [line.partition(":")[0] for line in findings.twice] == [chosen]


def test_a_transfer_that_will_run_again_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, chosen = audited(books, tmp_path, lambda c, id_: send(c, "Transfer", id=id_, to="a002", amount=1))
    assert [line.partition(":")[0] for line in findings.twice] == [chosen]


def test_money_from_nowhere_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, _ = audited(books, tmp_path, lambda c, _: send(c, "Credit", id="new", amount=7))
    assert "new was paid to an account and taken from none" in findings.broken
    assert f"there are {ACCOUNTS * OPENING + 7} of {ACCOUNTS * OPENING} in the bank" in findings.broken


@pytest.mark.parametrize("by", [-1, 1])
def test_a_balance_that_is_off_by_one_is_found(books: tuple[Path, list[str]], tmp_path: Path, by: int) -> None:
    findings, _ = audited(books, tmp_path, lambda c, _: change_balance(c, by))
    assert len(findings.broken) == 2  # that account, and the sum


def test_an_account_that_is_gone_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    findings, _ = audited(
        books, tmp_path, lambda c, _: c.execute("DELETE FROM greenroom_actor WHERE address = '/bank/accounts/a001'")
    )
    assert f"there are {ACCOUNTS - 1} accounts of {ACCOUNTS}" in findings.broken


def test_a_dead_letter_that_should_not_be_is_found(books: tuple[Path, list[str]], tmp_path: Path) -> None:
    def park(connection: sqlite3.Connection, transfer: str) -> None:
        connection.execute(
            "INSERT INTO greenroom_dead_letter SELECT 1 << 60, '/bank/accounts/a001', '', '', NULL, 'Credit', ?, 5,"
            " 'failed', '', 'it was tired', '', 0, 0",
            (json.dumps({"id": transfer, "amount": 1}),),
        )

    findings, _ = audited(books, tmp_path, park)
    assert [line.partition(":")[0] for line in findings.broken] == ["a dead letter, failed"]


PLANTED = """
import sys
sys.path.insert(0, {bank!r})
import anyio, life
{fault}
if __name__ == "__main__":
    life.main()
"""
TOO_EARLY = """
real = life.tell
async def tell(system, teller, accounts, seed):
    # Acknowledges before it has told anything.
    said = life.say
    async def pledge(ref, transfer):
        said(f"ack {transfer.id}")
        await anyio.sleep(0.01)
        return await type(ref).tell(ref, transfer)
    life.say = lambda line: None if line.startswith("ack ") else said(line)
    class System:
        def ref(self, address):
            ref = system.ref(address)
            class Ref:
                def tell(self, transfer):
                    return pledge(ref, transfer)
            return Ref()
    await real(System(), teller, accounts, seed)
life.tell = tell
"""
TWICE = """
import bank
real = bank.Account.__definition__.handlers[bank.Credit].function
def credit(self, message):
    real(self, message)
    real(self, message)
bank.Account.__definition__.handlers[bank.Credit].function = credit
"""


SLOW = """
real = life.tell
async def tell(*args):
    await anyio.sleep(1.5)
    await real(*args)
life.tell = tell
"""
SHORT = """
import os
async def tell(*args):
    os._exit(3)
life.tell = tell
"""


def planted(folder: Path, fault: str) -> Chaos:
    script = folder / "planted.py"
    script.write_text(PLANTED.format(bank=str(BANK), fault=fault))
    return Chaos(folder, seed=4, accounts=ACCOUNTS, tellers=8, node=(sys.executable, str(script)))


def test_a_kill_hits_tellers_at_work_however_slow_they_are(tmp_path: Path) -> None:
    chaos = planted(tmp_path, SLOW)
    try:
        chaos.kill_once()
    finally:
        chaos.close()
    assert (chaos.tally.kills, chaos.tally.working) == (1, 1)
    assert chaos.tally.acknowledged


def test_a_node_that_ends_by_itself_is_no_kill(tmp_path: Path) -> None:
    chaos = planted(tmp_path, SHORT)
    try:
        with pytest.raises(NodeFailedError, match="ended by itself, with status 3"):
            chaos.kill_once()
    finally:
        chaos.close()
    assert chaos.tally.kills == 0


@pytest.mark.parametrize(("fault", "found"), [(TOO_EARLY, "lost"), (TWICE, "twice")])
def test_a_bank_that_breaks_its_promise_is_found(tmp_path: Path, fault: str, found: str) -> None:
    chaos = planted(tmp_path, fault)
    try:
        for _ in range(8):
            if not chaos.kill_once().clean:
                break
    finally:
        chaos.close()
    assert getattr(chaos.tally, found)
