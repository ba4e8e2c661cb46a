"""A ROLLBACK that is interrupted along with the statement that it has to end."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from greenroom.persistence.engines.sqlite.lending.lease import Lease


def test_rows_that_are_being_fetched_are_in_its_way(tmp_path: Path) -> None:
    """SQLite interrupts everything that begins before the last running statement has ended."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    lease = Lease(connection, threading.Lock(), "x.db")
    lease.begin()
    connection.execute("CREATE TABLE t (x)")
    fetching, go_on = threading.Event(), threading.Event()

    def held_up(number: int) -> int:
        fetching.set()
        go_on.wait(10)
        return number

    connection.create_function("held_up", 1, held_up)
    rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000) SELECT held_up(x) FROM n"
    fetched: list[BaseException] = []

    def fetch() -> None:
        try:
            connection.execute(rows).fetchall()
        except sqlite3.Error as error:
            fetched.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    assert fetching.wait(10)
    lease.end()
    ending = threading.Thread(target=lease.roll_back)
    ending.start()
    ending.join(0.05)
    go_on.set()
    ending.join(10)
    thread.join(10)
    # Its text is the connection's last one, which the ROLLBACK beside it may have replaced by then ("not an error").
    assert len(fetched) == 1, "the fetch wasn't interrupted"
    assert not connection.in_transaction
    connection.execute("BEGIN IMMEDIATE")
    assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    connection.close()
