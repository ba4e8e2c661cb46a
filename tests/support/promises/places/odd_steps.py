"""The steps of random programs of odd ends: place, what is done there, and moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from odd_actors import ATTEMPTS
from odd_acts import ASYNC_ACTS, SYNC_ACTS, Act
from odd_calls import ABROAD, DOORS, PLACES, STRAYS
from odd_messages import KINDS, Plain, Stated, Told, Waiting
from odd_values import GOOD, VALUES

__all__ = ("GUILTY", "INNOCENT", "PROGRAMS", "PROGRAMS_AND_CHILDREN", "SENDS", "STATIC", "Program", "Step")

GUILTY = ["/t/a", "/t/light", "/t/sudden", "/t/group/x", "/t/group/y", "/t/pool/k", "/t/pool/l"]
STATIC = GUILTY[:5]
INNOCENT = ["/t/innocent", "/t/mild", "/t/group/innocent", "/t/pool2/k"]
SENDS = ["tell", "with a key", "first", "later", "from a thread"]
"""The ways in which a value is sent."""


class Step(NamedTuple):
    what: str
    """tell, ask, quit, bad, terminate, start child, task, strike, rest; and those of odd_ways.py."""
    to: str = ""
    kind: type[Told] = Plain
    act: Act | None = None
    times: int = 0
    hook: str = ""
    """The hook that does it, at a quit, bad, terminate or start child. The way of a value, at a send or echo."""


def acts(names: Sequence[str]) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.sampled_from(names), st.booleans())


def strays(*kinds: str) -> st.SearchStrategy[Act]:
    return acts([name for kind in kinds for name in STRAYS[kind]])


def acts_in(kind: type[Told], to: str) -> st.SearchStrategy[Act]:
    """The acts of a handler."""
    usual = acts(SYNC_ACTS if kind in (Plain, Stated) else ASYNC_ACTS)
    if kind is Stated:
        return usual
    kept = [] if to == "/t/light" else [strays("keep")]  # its state is never stored
    return st.one_of(usual, strays("call", "call itself", "tell"), *kept)


def acts_of(hook: str, to: str) -> st.SearchStrategy[Act]:
    """The acts of a hook."""
    sudden = hook == "__init__" or (hook == "on_start" and to == "/t/sudden")
    usual = acts(SYNC_ACTS if sudden else ASYNC_ACTS)
    if hook == "__init__":
        return st.one_of(usual, strays("call"))
    kept = [] if to == "/t/light" else [strays("keep")]
    return st.one_of(usual, strays("call", "call itself", "tell"), *kept)


@st.composite
def steps(draw: Any) -> Step:
    what = draw(
        st.sampled_from(["tell"] * 5 + ["ask", "quit", "quit", "bad", "terminate", "start child"] + ["task"] * 2)
    )
    if what == "tell":
        to, kind = draw(st.sampled_from(GUILTY)), draw(st.sampled_from(KINDS))
        if kind is Stated and to == "/t/light":
            kind = Waiting  # its state isn't decoded
        return Step(what, to, kind, draw(acts_in(kind, to)), draw(st.integers(1, ATTEMPTS)))
    if what == "ask":
        return Step(what, to := draw(st.sampled_from(STATIC)), act=draw(acts_in(Waiting, to)))
    if what == "task":
        act = draw(st.one_of(acts(ASYNC_ACTS), strays("call")))
        return Step(what, act=act, times=draw(st.integers(0, 1)))
    if what == "start child":
        to, hook = "/t/new", draw(st.sampled_from(["__init__", "on_start"]))
    else:
        to = draw(st.sampled_from(STATIC if what == "terminate" else GUILTY))
        hook = draw(st.sampled_from(["__init__", "on_start", "on_stop"]))
    return Step(what, to, act=draw(acts_of(hook, to)), times=draw(st.integers(1, 2)), hook=hook)


@st.composite
def ways(draw: Any, places: Sequence[str]) -> Step:
    """The steps of odd_ways.py."""
    what = draw(
        st.sampled_from(
            [
                "call",
                "call",
                "keep",
                "keep",
                "receipt",
                "send",
                "send",
                "echo",
                "tell from a thread",
                "ask from a thread",
            ]
        )
    )
    to = draw(st.sampled_from([*GUILTY, *INNOCENT] if what == "call" else STATIC))
    if what == "keep":
        to, kind = draw(st.sampled_from([one for one in STATIC if one != "/t/light"])), draw(st.sampled_from(KINDS[:5]))
        return Step("tell", to, kind, draw(strays("keep")), ATTEMPTS)
    if what == "receipt":
        return Step(what, to, Waiting, Act(draw(st.sampled_from(places))))
    if what == "call":
        door, place = draw(st.sampled_from(list(DOORS))), draw(st.sampled_from(places))
        return Step(what, to, act=Act(f"calls {door}; {place}"))
    if what == "send":
        hook = draw(st.sampled_from([way for way in SENDS if to != "/t/light" or way != "with a key"]))
        return Step(what, to, act=Act(draw(st.sampled_from(list(VALUES)))), hook=hook)
    if what == "echo":
        wanted, carried = draw(st.sampled_from(list(VALUES))), draw(st.sampled_from([*GOOD, *VALUES]))
        return Step(what, to, act=Act(wanted), hook=carried)
    kind = draw(st.sampled_from(KINDS[:5]))
    return Step(what, to, kind, draw(acts_in(kind, to)), draw(st.integers(1, ATTEMPTS)))


BETWEEN = [Step("rest"), *[Step("strike", times=rounds) for rounds in range(1, 13)]]


def programs(places: Sequence[str]) -> st.SearchStrategy[Program]:
    """
    Args:
        places: where calls may come from.
    """
    return st.tuples(
        st.lists(st.one_of(steps(), steps(), ways(places), st.sampled_from(BETWEEN)), min_size=1, max_size=7),
        st.one_of(st.none(), st.tuples(st.sampled_from(STATIC), steps().filter(lambda step: bool(step.hook)))),
    )


Program = tuple[list[Step], tuple[str, Step] | None]
"""The steps of a program, and what an actor does at the boot or at the node's stop: (address, a step with a hook)."""

PROGRAMS_AND_CHILDREN = programs([*PLACES, *ABROAD])
"""With calls in forked children."""
PROGRAMS = programs([place for place in (*PLACES, *ABROAD) if place != "a child"])
