"""kill -9 at random moments of everything at once: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from havoc_bugs import BUGS
from havoc_parent import Havoc
from tallies import Tally

Begin = Callable[..., Havoc]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    begun: list[Havoc] = []

    def begin(seed: int, *bugs: str) -> Havoc:
        begun.append(Havoc(tmp_path, seed, *bugs))
        return begun[-1]

    yield begin
    for havoc in begun:
        havoc.close()


def survives(havoc: Havoc, kills: int, tally: Tally) -> None:
    for _ in range(kills):
        havoc.kill()
    found = havoc.settle()
    tally("kills", havoc.kills)
    tally("messages lost", len(found.lost))
    tally("messages doubled", len(found.doubled))
    assert found.clean, f"{found}\n{havoc.tail()}"
    assert found.handled >= len(havoc.said.acked) > kills


def test_a_dozen_kills(begin: Begin, tally: Tally) -> None:
    survives(begin(12), 12, tally)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_kills_in_four_parts(begin: Begin, tally: Tally, seed: int) -> None:
    havoc = begin(seed)
    survives(havoc, 250, tally)
    assert {"born", "up", "closing"} <= havoc.where.keys(), "they fell into every part of a life"


# -- the runs above can fail ---------------------------------------------------------------------------------

KILLS_MAX = 80
"""By then each bug has been found."""


def finds(havoc: Havoc) -> None:
    """Kill, settle and judge, until something is wrong."""
    while havoc.kills < KILLS_MAX:
        for _ in range(8):
            havoc.kill()
        if not havoc.settle().clean:
            return
    pytest.fail(f"{havoc.kills} kills haven't found it")


def test_a_receipt_before_the_commit_is_found(begin: Begin) -> None:
    finds(begin(1, "receipt before commit"))


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", BUGS)
def test_every_planted_bug_is_found(begin: Begin, bug: str) -> None:
    finds(begin(1, bug))
