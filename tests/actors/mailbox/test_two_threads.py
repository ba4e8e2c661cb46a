"""Mailboxes of nodes on several threads: they share empty deques."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from greenroom import Message
from greenroom.actors.mailbox import mailbox as module
from greenroom.actors.mailbox.mailbox import Mailbox

THREADS, ROUNDS = 4, 20_000


class Item(Message):
    number: int


class Waned(list[Any]):
    """The spare deques, as another thread sees them that was stopped between its look and its grip."""

    def __bool__(self) -> bool:
        return True


def test_the_last_spare_deque_is_taken_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPARE", Waned())
    mailbox = Mailbox()
    mailbox.push(Item(number=1))
    assert mailbox.pop() == Item(number=1)


def test_no_message_gets_into_another_mailbox() -> None:
    def work(number: int) -> int:
        mailbox, item = Mailbox(), Item(number=number)
        for _ in range(ROUNDS):
            mailbox.push(item)
            assert mailbox.pop() is item
        return mailbox.count

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(work, range(THREADS))) == [0] * THREADS
    finally:
        sys.setswitchinterval(before)
