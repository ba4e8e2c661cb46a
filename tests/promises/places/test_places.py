"""Place × end × moment, drawn by hypothesis (docs/reliability.md, "Kinds"): user code may end as it likes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from odd_acts import Act
from odd_bugs import BUGS
from odd_messages import Sql
from odd_programs import Violation, run_program
from odd_steps import PROGRAMS, PROGRAMS_AND_CHILDREN, Program, Step
from patience import Hung
from tallies import Tally

ANY: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
TRIED_MAX = 1_500
"""So many programs a planted bug may escape."""


class Found(Exception):
    """A planted bug showed itself, and the search may end."""


@given(PROGRAMS)
@settings(max_examples=60, **ANY)
def test_programs(program: Program) -> None:
    run_program(program)


def test_a_runner_lets_go_of_an_actor_that_was_restarted_while_its_transaction_closed() -> None:
    """The runner kept the new incarnation, and handled none of its messages. One run in four showed it."""
    steps = [
        Step("quit", "/t/sudden", act=Act("tells a set"), times=1, hook="on_start"),
        Step("quit", "/t/group/x", act=Act("cancels itself", waits=True), times=1, hook="on_stop"),
        Step("strike", times=12),
        Step("tell", "/t/group/x", Sql, Act("keeps NaN"), times=3),
        Step("bad", "/t/group/y", act=Act("tries to schedule a key"), times=2, hook="on_stop"),
    ]
    for _ in range(60):
        run_program((steps, None))


@pytest.mark.torture
def test_ten_thousand_programs(tally: Tally) -> None:
    ran = 0

    @given(PROGRAMS_AND_CHILDREN)
    @settings(max_examples=10_000, **ANY)
    def all_hold(program: Program) -> None:
        nonlocal ran
        run_program(program)
        ran += 1

    all_hold()
    tally("programs of odd ends", ran)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what is planted leaves a mess
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, bug: str, tally: Tally) -> None:
    tried, found = 0, False

    @seed(1)
    @given(PROGRAMS)
    @settings(max_examples=TRIED_MAX, phases=[Phase.generate], report_multiple_bugs=False, **ANY)
    def search(program: Program) -> None:
        nonlocal found, tried
        if found:  # hypothesis runs what failed once more, and that needn't fail again
            raise Found
        tried += 1
        try:
            run_program(program)
        except (Violation, Hung, ExceptionGroup, RuntimeError, asyncio.InvalidStateError) as error:
            found = True
            raise Found from error

    BUGS[bug](monkeypatch)
    with pytest.raises(Found):
        search()
    tally("programs until a planted bug was found", tried)
