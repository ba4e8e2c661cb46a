"""CommitQueue: positions, the bounds of the run-ahead, and what waiters are told."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.persistence.commit.effects import Effects, Entry, Told, unhandled
from greenroom.persistence.commit.queue import AHEAD_BYTES_MAX, CommitQueue
from greenroom.persistence.errors import StoreError, StoreFull
from greenroom.persistence.runtime import Runtime


@pytest.fixture
async def queue() -> CommitQueue:
    bugs: list[BaseException] = []
    return CommitQueue(Runtime(), bugs.append)


async def test_bytes_count_until_they_land(queue: CommitQueue) -> None:
    end = queue.put(Effects(), AHEAD_BYTES_MAX)
    assert queue.behind
    queue.take()
    assert queue.behind
    queue.landed(end)
    assert not queue.behind


async def test_bytes_count_while_a_part_of_the_batch_is_in_flight(queue: CommitQueue) -> None:
    first = queue.put(Effects(), 1)
    queue.put(Effects(), AHEAD_BYTES_MAX)
    batch = queue.take()
    queue.landed(first)
    assert queue.behind
    queue.put_back(batch[1:])
    queue.settled()
    assert queue.behind
    queue.take()
    queue.landed(queue.position)
    assert not queue.behind


async def test_what_is_put_back_comes_before_what_was_queued_since(queue: CommitQueue) -> None:
    old, new = Effects(), Effects()
    queue.put(old, 0)
    batch = queue.take()
    queue.put(new, 0)
    queue.put_back(batch)
    assert queue.take() == [old, new]


async def test_waiters_hear_what_became_of_their_positions(queue: CommitQueue) -> None:
    told: list[tuple[int, StoreError | None]] = []
    for position in (queue.submit(Effects()), queue.submit(Effects())):
        queue.when(position, lambda error, position=position: told.append((position, error)))
    assert queue.wanted
    queue.take()
    queue.landed(1)
    assert told == [(1, None)]
    error = StoreFull("full")
    queue.refuse(error)
    queue.lose(2, error)
    assert told == [(1, None), (2, error)]
    assert queue.lost(1) is None
    assert queue.lost(2) is error
    with pytest.raises(StoreFull):
        queue.submit(Effects())
    queue.accept()
    assert queue.submit(Effects()) == 3
    queue.close()


class Row(Told):
    pass


@given(st.lists(st.sampled_from(["tell", "turn", "look", "take", "put back", "lose"])))
def test_how_many_are_unhandled_is_what_a_count_would_say(steps: list[str]) -> None:
    async def main() -> None:
        queue = CommitQueue(Runtime(), print)
        batch: list[Entry] = []
        for step in steps:
            if step == "tell":
                queue.put(Row(), 1)
            elif step == "turn":
                queue.put(Effects(ack=1, inserts=(Row(), Row())), 1)
            elif step == "take":
                batch = queue.take()
            elif step == "put back":
                queue.put_back(batch)
                batch = []
            elif step == "lose":
                queue.refuse(StoreFull("no space"))
                queue.accept()
            else:
                assert queue.unhandled() == unhandled(queue.entries)
        assert queue.unhandled() == unhandled(queue.entries)
        queue.close()

    asyncio.run(main())
