"""The uids of what a turn tells: the same in each attempt, whichever way they are made."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from greenroom.actors.mailbox.envelope import derived_uid, seed_of, uid_of
from greenroom.persistence.store.attempts import is_uid

PARENT = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("ordinal", [1, 2, 9, 10, 4096])
def test_both_ways_say_the_same(ordinal: int) -> None:
    """And it is the one that stored messages have had from the beginning."""
    uid = blake2b(f"{PARENT}/{ordinal}".encode(), digest_size=16).hexdigest()
    assert derived_uid(PARENT, ordinal) == uid_of(seed_of(PARENT), ordinal) == uid
    assert is_uid(uid)


def test_a_seed_can_be_used_again() -> None:
    seed = seed_of(PARENT)
    assert [uid_of(seed, 2), uid_of(seed, 3), uid_of(seed, 2)] == [derived_uid(PARENT, n) for n in (2, 3, 2)]
