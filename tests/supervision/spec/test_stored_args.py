"""Args of a child that comes at run time are in its next life what they were in this one, or its asker is told."""

from __future__ import annotations

import datetime as dt
import enum
import re
from pathlib import Path
from typing import Any

import pytest
from grounds import Ground, MemoryGround, tree

from greenroom import (
    Actor,
    ChildSpec,
    ConfigError,
    GetChildSpec,
    Reconfigure,
    Request,
    StartChild,
    SupervisorSpec,
    handler,
)


class Colour(enum.Enum):
    RED = "red"


class Given(Request[str]):
    pass


class Taker(Actor[None]):
    def __init__(
        self,
        *,
        anything: Any = None,
        days: tuple[dt.date, ...] = (),
        colour: Colour = Colour.RED,
        numbers: dict[int, float] | None = None,
        folder: Path = Path(),
    ) -> None:
        self.given = (anything, days, colour, numbers, folder)

    @handler
    def tell_them(self, request: Given) -> str:
        return repr(self.given)


class Static(Taker):
    pass


GOOD: list[dict[str, Any]] = [
    {"anything": {"a": [1, None]}},
    {"days": (dt.date(2030, 1, 1),)},
    {"days": [dt.date(2030, 1, 1)]},
    {"colour": Colour.RED},
    {"numbers": {}},
    {"folder": "books"},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"anything": (1, 2)}, r"args\.anything is \(1, 2\) and would come back as \[1, 2\]"),
    ({"anything": {"a": dt.date(2030, 1, 1)}}, r"args\.anything\['a'\] is datetime.date"),
    ({"anything": {1: 2}}, r"a key of .*args\.anything is 1"),
    ({"anything": float("inf")}, "args.anything is inf"),
    ({"numbers": {1: 1.5}}, r"a key of .*args\.numbers is 1"),  # an annotation takes no strings for numbers
    (
        {"folder": Path("books")},
        "args.folder: child .taker. can't be stored with it: JSON has nothing for an object of type P",
    ),
    (
        {"anything": object()},
        "args.anything: child .taker. can't be stored with it: JSON has nothing for an object of type o",
    ),
]


@pytest.mark.parametrize("args", GOOD, ids=str)
async def test_the_next_life_has_what_this_one_had(ground: Ground, args: dict[str, Any]) -> None:
    spec = ChildSpec(id="taker", actor=Taker, args=args)
    async with ground.node(tree(Static)) as system:
        await system.ref("/t").ask(StartChild(spec=spec), timeout_s=60)
        given = await system.ref("/t/taker").ask(Given(), timeout_s=60)
    async with ground.node(tree(Static)) as system:
        assert await system.ref("/t/taker").ask(Given(), timeout_s=60) == given
    assert given == repr(Taker(**{"days": (), **args, **_converted(args)}).given)


def _converted(args: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "days" in args:
        found["days"] = tuple(args["days"])
    if "folder" in args:
        found["folder"] = Path(args["folder"])
    return found


@pytest.mark.parametrize(("args", "text"), BAD, ids=[text for _, text in BAD])
def test_others_are_refused_at_the_asker(args: dict[str, Any], text: str) -> None:
    for spec in (
        ChildSpec(id="taker", actor=Taker, args=args),
        SupervisorSpec(id="below", children=[ChildSpec(id="taker", actor=Taker, args=args)]),
        SupervisorSpec(id="pool", strategy="dynamic", template=ChildSpec(id="taker", actor=Taker, args=args)),
    ):
        with pytest.raises(ConfigError, match=text):
            StartChild(spec=spec)


HERSELF: list[Any] = []
HERSELF.append(HERSELF)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "JSON has nothing for an object of type object. Pass plain data, and make the object in `__init__`"),
        (Path("books"), "JSON has nothing for an object of type PosixPath"),
        (print, "JSON has nothing for an object of type builtin_function_or_method"),
        ({"in": [ValueError("no")]}, "JSON has nothing for an object of type ValueError"),
        (HERSELF, "it holds itself, or is nested too deep"),
        ("\udcff", "it has half a surrogate pair, which is no text"),
        ({(1, 2): 3}, "Only dicts with str-like or number-like keys are supported"),
    ],
    ids=["object", "path", "function", "nested", "itself", "surrogate", "key"],
)
async def test_a_tree_with_an_argument_that_no_row_can_hold(memory: MemoryGround, value: Any, why: str) -> None:
    taker = ChildSpec(id="taker", actor=Taker, args={"anything": value})
    for spec, key in (
        (tree(Static, taker), "children[1].args.anything"),
        (tree(SupervisorSpec(id="below", children=[taker])), "children[0].children[0].args.anything"),
        (tree(SupervisorSpec(id="pool", strategy="dynamic", template=taker)), "children[0].template.args.anything"),
    ):
        with pytest.raises(ConfigError) as caught:
            async with memory.node(spec):
                pass
        (problem,) = caught.value.problems
        assert str(problem).startswith(f'{key}: child "taker" can\'t be stored with it: {why}')
    with pytest.raises(ConfigError, match=re.escape(f'child "taker" can\'t be stored with it: {why}')):
        Reconfigure(spec=tree(Static, taker))


async def test_the_spec_of_a_static_child_is_told_as_json_has_it(ground: Ground) -> None:
    spec = ChildSpec(id="static", actor=Static, args={"days": (dt.date(2030, 1, 1),)})
    async with ground.node(SupervisorSpec(id="t", children=[spec])) as system:
        found = await system.ref("/t").ask(GetChildSpec(id="static"), timeout_s=60)
        assert isinstance(found, ChildSpec)
        assert found.args == {"days": ["2030-01-01"]}
        assert "datetime.date(2030, 1, 1)" in await system.ref("/t/static").ask(Given(), timeout_s=60)
