"""The rest of a commit that was asked for when the store fails."""

from __future__ import annotations

import asyncio

from grounds import MemoryGround
from patience import patience

from greenroom.persistence.commit.committer import Committer
from greenroom.persistence.commit.effects import Effects
from greenroom.persistence.errors import StoreError, StoreUnavailable
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.rows import KeyRow


async def test_effects_after_a_failure_are_committed(memory: MemoryGround) -> None:
    """A commit was asked for while a turn held the transaction, and the store failed before it began."""
    store = memory.store()
    owner = await store.open()
    failures: list[BaseException] = []

    def broken(error: StoreError, *_: object) -> None:
        failures.append(error)

    committer = Committer(
        store, Runtime(), commit_no=owner.commit_no, refused=lambda *_: None, broken=broken, bug=failures.append
    )
    queue = committer.queue
    committer.start()
    try:
        async with committer.hold():
            queue.submit(Effects(rows=(key("before"),)))
            queue.request()
            await asyncio.sleep(0)
            committer.fail(StoreUnavailable("cable pulled"))
        assert failures
        await committer.recover()
        if queue.failure is not None:
            committer.resume()
        queue.submit(Effects(rows=(key("after"),)))
        async with patience():
            await queue.flush()
        assert [row.key for row in memory.rows(KeyRow)] == ["after"]
    finally:
        await committer.close()
        await store.close()


def key(name: str) -> KeyRow:
    return seal(KeyRow("/t/a", name, "digest", 1, 1e10))
