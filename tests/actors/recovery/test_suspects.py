"""The conclusions of a boot from what the last life left: halves, and a charge for the one that is cornered."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.actors.recovery.suspects import FREE_DEATHS, FREE_DEATHS_BUSY, judge
from greenroom.persistence.store.attempts import NOBODY, Started, Verdict


def uid(number: int) -> str:
    return f"{number:032x}"


def noted(verdict: Verdict, *numbers: int) -> list[Started]:
    return [Started(number, verdict, uid(number), f"/t/{number}") for number in numbers]


def listed(limit: int, *numbers: int, deaths: int = 1, spared: bool = False) -> list[Started]:
    return [
        Started(number, "suspect", uid(number), f"/t/{number}", limit=limit, deaths=deaths, spared=spared)
        for number in numbers
    ]


def found(left: list[Started]) -> dict[int, tuple[str, int, int]]:
    return {int(one.uid, 16): (one.verdict, one.limit, one.deaths) for one in judge(left)}


def test_the_first_death_makes_suspects_that_run_beside_one_another() -> None:
    assert found(noted("started", 1, 2, 3)) == dict.fromkeys((1, 2, 3), ("suspect", 0, 1))


@pytest.mark.parametrize("verdict", ["started", "waiting", "running"])
def test_a_message_that_was_handled_by_itself_is_cornered_at_once(verdict: Verdict) -> None:
    assert found(noted(verdict, 1)) == {1: ("suspect", 1, 1)}


def test_half_of_those_that_waited_run_at_once() -> None:
    left = listed(0, 1, 2, 3, 4, 5, 6, 7) + noted("waiting", 1, 2, 3, 4, 5)
    assert found(left) == {
        **dict.fromkeys((1, 2, 3, 4, 5), ("suspect", 3, 2)),
        **dict.fromkeys((6, 7), ("suspect", 0, 1)),
    }


def test_one_that_wasnt_a_suspect_isnt_narrowed_down() -> None:
    assert found(listed(4, 1, 2, 3, 4) + noted("waiting", 1, 2, 9)) == {
        **dict.fromkeys((1, 2), ("suspect", 1, 2)),
        **dict.fromkeys((3, 4), ("suspect", 4, 1)),
        9: ("suspect", 0, 1),
    }


def test_one_whose_code_ran_is_cornered_and_the_others_are_spared_once() -> None:
    left = listed(0, 1, 2, 3) + noted("running", 1) + noted("waiting", 2, 3)
    assert [(one.limit, one.deaths, one.spared) for one in sorted(judge(left))] == [
        (1, 2, False),
        (0, 1, True),
        (0, 1, True),
    ]
    left = listed(0, 1) + listed(0, 2, 3, spared=True) + noted("running", 1) + noted("waiting", 2, 3)
    assert found(left) == {1: ("suspect", 1, 2), 2: ("suspect", 2, 2), 3: ("suspect", 2, 2)}


@pytest.mark.parametrize("beside", [[], noted("waiting", 8)])
def test_one_whose_code_ran_twice_is_charged(beside: list[Started]) -> None:
    assert found(listed(1, 1) + noted("running", 1) + beside)[1] == ("crash", 1, 2)


def test_one_whose_code_ran_and_that_was_handled_by_itself_is_charged_at_once() -> None:
    assert found(listed(0, 1, 2) + noted("running", 1))[1] == ("crash", 1, 2)


@pytest.mark.parametrize(
    ("deaths", "beside", "verdict"),
    [
        (FREE_DEATHS - 1, [], "suspect"),
        (FREE_DEATHS, [], "crash"),
        (FREE_DEATHS, noted("waiting", 8), "crash"),
        (FREE_DEATHS, noted("running", 8), "suspect"),
        (FREE_DEATHS_BUSY, noted("running", 8), "crash"),
    ],
)
def test_one_that_merely_waits_is_charged_late(deaths: int, beside: list[Started], verdict: str) -> None:
    left = listed(1, 1, deaths=deaths, spared=True) + noted("waiting", 1) + beside
    assert found(left)[1] == (verdict, 1, deaths + 1)


def test_and_never_while_another_suspect_waits_beside_it() -> None:
    """One that has waited for others too long is let in."""
    left = listed(1, 1, 2, deaths=100, spared=True) + noted("waiting", 1, 2)
    assert found(left) == dict.fromkeys((1, 2), ("suspect", 1, 101))


def test_a_hang_says_nothing_about_others() -> None:
    left = listed(2, 1, 2) + noted("waiting", 1, 7) + noted("hang", 3)
    assert found(left) == {1: ("suspect", 2, 1), 2: ("suspect", 2, 1), 3: ("hang", 0, 0)}


def test_a_suspect_that_hangs_keeps_what_is_known_of_it() -> None:
    assert found(listed(2, 1, 2) + noted("hang", 1))[1] == ("hang", 2, 1)


def test_a_hang_of_an_earlier_death_doesnt_silence_the_notes_of_the_next() -> None:
    """Its charge is due still, because its message isn't on disk: what tells it is handled anew."""
    due = [one._replace(verdict="hang") for one in listed(0, 3)]
    left = listed(0, 1, 2) + due + noted("running", 1) + noted("waiting", 2)
    assert found(left) == {1: ("suspect", 1, 2), 2: ("suspect", 0, 1), 3: ("hang", 0, 1)}
    assert found(left + noted("hang", 2)) == {1: ("suspect", 0, 1), 2: ("hang", 0, 1), 3: ("hang", 0, 1)}


def test_a_charge_that_is_due_stays_due_until_it_is_made() -> None:
    due = [one._replace(verdict="crash") for one in listed(1, 1, deaths=2)]
    assert found(due) == {1: ("crash", 1, 2)}
    assert found(due + noted("waiting", 2, 3))[1] == ("crash", 1, 2)


def test_nobody_is_no_suspect_and_yet_evidence() -> None:
    """The code of an actor in memory ran."""
    left = [*listed(0, 1, 2), *noted("waiting", 1, 2), Started(9, "running", NOBODY, "/t/light")]
    assert found(left) == dict.fromkeys((1, 2), ("suspect", 0, 1))


def test_the_least_suspicious_come_first() -> None:
    left = listed(1, 1, deaths=9) + listed(1, 2, deaths=3) + listed(7, 3) + listed(0, 4)
    assert [int(one.uid, 16) for one in judge(left)] == [4, 3, 2, 1]


# -- whole series of lives --------------------------------------------------------------------------------


class World:
    """Messages that wait, one of which may kill the process, as lives go by."""

    def __init__(self, random: Random, count: int, killer: int | None, how: Verdict) -> None:
        self.random = random
        self.killer = killer
        self.how = how
        self.waiting = set(range(1, count + 1))
        self.left = noted("started", *self.waiting)
        self.charged: list[int] = []
        self.rounds = 0
        self.fresh = count
        """The highest number of a message so far."""

    def live(self, *, kill_at: int | None = None, beside: int = 0) -> bool:
        """One life. Whether it came to its end with nothing left.

        Args:
            kill_at: the round in which it is killed from outside.
            beside: how many messages that aren't suspects are handled beside them.
        """
        suspects = judge(self.left)
        for place, one in enumerate(suspects):
            if one.verdict == "crash":
                self.charged.append(int(one.uid, 16))
                suspects[place] = one._replace(verdict="suspect")
        others = list(range(self.fresh + 1, self.fresh + 1 + beside))
        self.fresh += beside
        self.rounds = 0
        waiting = sorted(suspects, key=lambda one: one.rank)
        while waiting:
            group: list[Started] = []
            while waiting and len(group) < min(one.limit or math.inf for one in (*group, waiting[0])):
                group.append(waiting.pop(0))
            numbers = [int(one.uid, 16) for one in group]
            if self.killer in numbers or self.rounds == kill_at:
                running = [self.killer] if self.killer in numbers and self.how == "running" else []
                notes = noted("waiting", *(n for n in (*numbers, *others) if n not in running))
                self.left = [*group, *waiting, *noted("running", *running), *notes]
                return False
            self.rounds += 1
        self.left = []
        return True


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(1, 300),
    place=st.integers(0, 299),
    how=st.sampled_from(["running", "waiting"]),
    beside=st.integers(0, 3),
    max_attempts=st.integers(1, 5),
)
def test_a_killer_is_found_in_few_lives(count: int, place: int, how: Verdict, beside: int, max_attempts: int) -> None:
    killer = 1 + place % count
    world = World(Random(0), count, killer, how)
    deaths = 1
    while world.charged.count(killer) < max_attempts:
        if world.live(beside=beside):
            pytest.fail("the killer was let go")
        deaths += 1
        world.left = [one for one in world.left if int(one.uid, 16) <= count or beside]
        assert deaths < 100
    assert set(world.charged) == {killer}
    halves = math.ceil(math.log2(count)) if count > 1 else 0
    cornered = 2 if how == "running" else max(2 + halves, FREE_DEATHS)
    assert deaths - 1 <= cornered + max_attempts


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(1, 60),
    kills=st.lists(st.integers(0, 8), max_size=FREE_DEATHS - 1),
    beside=st.integers(0, 3),
)
def test_kills_from_outside_charge_nobody_who_waits(count: int, kills: list[int], beside: int) -> None:
    """The first death is one as well."""
    world = World(Random(0), count, None, "waiting")
    for kill_at in kills:
        if world.live(kill_at=kill_at, beside=beside):
            break
    world.live()
    assert world.charged == []


@pytest.mark.parametrize("kills", range(1, 12))
def test_no_life_takes_more_rounds_than_there_were_deaths(kills: int) -> None:
    """A round is the time that one handler waits. So waiting messages are done soon, however often they were killed."""
    world = World(Random(0), 200, None, "waiting")
    for _ in range(kills):
        world.live(kill_at=0)
    assert world.live()
    assert world.rounds <= kills + 2
