"""The steps of random programs of odd ends: place, what is done there, and moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from odd_actors import ATTEMPTS, KINDS, Plain, Stated, Told, Waiting
from odd_acts import ASYNC_ACTS, SYNC_ACTS, Act

__all__ = ("GUILTY", "INNOCENT", "PROGRAMS", "STATIC", "Program", "Step")

GUILTY = ["/t/a", "/t/light", "/t/sudden", "/t/group/x", "/t/group/y", "/t/pool/k", "/t/pool/l"]
STATIC = GUILTY[:5]
INNOCENT = ["/t/innocent", "/t/mild", "/t/group/innocent", "/t/pool2/k"]


class Step(NamedTuple):
    what: str
    """tell, ask, quit, bad, terminate, start child, task, strike, rest."""
    to: str = ""
    kind: type[Told] = Plain
    act: Act | None = None
    times: int = 0
    hook: str = ""
    """The hook that does it, at a quit, bad, terminate or start child."""


def acts(names: Sequence[str]) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.sampled_from(names), st.booleans())


@st.composite
def steps(draw: Any) -> Step:
    what = draw(
        st.sampled_from(["tell"] * 5 + ["ask", "quit", "quit", "bad", "terminate", "start child"] + ["task"] * 2)
    )
    if what == "tell":
        to, kind = draw(st.sampled_from(GUILTY)), draw(st.sampled_from(KINDS))
        if kind is Stated and to == "/t/light":
            kind = Waiting  # its state isn't decoded
        act = draw(acts(SYNC_ACTS if kind in (Plain, Stated) else ASYNC_ACTS))
        return Step(what, to, kind, act, draw(st.integers(1, ATTEMPTS)))
    if what == "ask":
        return Step(what, draw(st.sampled_from(STATIC)), act=draw(acts(ASYNC_ACTS)))
    if what == "task":
        return Step(what, act=draw(acts(ASYNC_ACTS)), times=draw(st.integers(0, 1)))
    if what == "start child":
        to, hook = "/t/new", draw(st.sampled_from(["__init__", "on_start"]))
    else:
        to = draw(st.sampled_from(STATIC if what == "terminate" else GUILTY))
        hook = draw(st.sampled_from(["__init__", "on_start", "on_stop"]))
    sudden = hook == "__init__" or (hook == "on_start" and to == "/t/sudden")
    return Step(what, to, act=draw(acts(SYNC_ACTS if sudden else ASYNC_ACTS)), times=draw(st.integers(1, 2)), hook=hook)


BETWEEN = [Step("rest"), *[Step("strike", times=rounds) for rounds in range(1, 13)]]
PROGRAMS = st.tuples(
    st.lists(st.one_of(steps(), steps(), st.sampled_from(BETWEEN)), min_size=1, max_size=7),
    st.one_of(st.none(), st.tuples(st.sampled_from(STATIC), steps().filter(lambda step: bool(step.hook)))),
)
"""The steps of a program, and what an actor does at the boot or at the node's stop: (address, a step with a hook)."""

Program = tuple[list[Step], tuple[str, Step] | None]
