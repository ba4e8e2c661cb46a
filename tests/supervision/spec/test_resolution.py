"""From a child spec to an actor: arguments converted as annotated, options laid over the class's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec
import pytest

from greenroom.actors.actor import Actor
from greenroom.actors.definition.options import Backoff
from greenroom.supervision.errors import ConfigError
from greenroom.supervision.spec.resolution import build_args, resolve_spec
from greenroom.supervision.spec.spec import ChildSpec

if TYPE_CHECKING:
    from fractions import Fraction


class Currency(Enum):
    EUR = "EUR"
    USD = "USD"


class Limits(msgspec.Struct):
    daily: int
    single: int = 5


class Clock(Protocol):
    def read(self) -> float: ...


class Pool:
    pass


class Plain(Actor[None]):
    pass


class Choosy(Actor[None]):
    max_attempts = 7
    backoff = Backoff(initial_s=2.0, factor=3.0)
    retry_on = (OSError,)
    handler_timeout_s = 9.0

    def __init__(
        self,
        folder: Path,
        *,
        currency: Currency = Currency.EUR,
        mode: Literal["fast", "safe"] = "safe",
        limits: Limits | None = None,
        names: list[str] | None = None,
        share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5,
        price: Decimal = Decimal(0),
        pool: Pool | None = None,
        path_or_number: Path | int = 0,
        clock: Clock | None = None,
        on_done: Callable[[], None] | None = None,
        anything: Any = None,
    ) -> None: ...


class Open(Actor[None]):
    def __init__(self, first: int = 0, *rest: int, **others: int) -> None: ...


class Misnamed(Actor[None]):
    def __init__(self, share: Fraction | None = None, count: int = 0) -> None: ...


class Positional(Actor[None]):
    def __init__(self, a: int, /) -> None: ...


def child(**fields: Any) -> ChildSpec:
    return ChildSpec(**{"id": "c", "actor": Plain, **fields})


# -- arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "made"),
    [
        ("folder", "a/b", Path("a/b")),
        ("folder", Path("a"), Path("a")),
        ("currency", "USD", Currency.USD),
        ("currency", Currency.USD, Currency.USD),
        ("mode", "fast", "fast"),
        ("limits", {"daily": 3}, Limits(daily=3)),
        ("limits", Limits(daily=3), Limits(daily=3)),
        ("limits", None, None),
        ("names", ["a"], ["a"]),
        ("share", 1, 1.0),
        ("price", "1.50", Decimal("1.50")),
        ("path_or_number", "x", Path("x")),
        ("path_or_number", 5, 5),
        ("anything", {"a": [1]}, {"a": [1]}),
    ],
)
def test_arguments_are_converted_as_annotated(name: str, given: Any, made: Any) -> None:
    kwargs = build_args(child(actor=Choosy, args={"folder": "f", name: given}))
    assert kwargs[name] == made
    assert type(kwargs[name]) is type(made)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({}, "args.folder: found nothing, expected Path. test_resolution:Choosy takes it without a default."),
        ({"folder": 5}, "args.folder: found 5, expected Path"),
        ({"folder": "f", "currency": "usd"}, 'args.currency: found "usd", expected one of EUR, USD'),
        (
            {"folder": "f", "mode": "fats"},
            'args.mode: found "fats", expected one of fast, safe. Did you mean "fast"?',
        ),
        (
            {"folder": "f", "limits": {}},
            "args.limits: object missing required field daily: found an empty table",
        ),
        ({"folder": "f", "limits": {"daily": "x"}}, "args.limits.daily: Expected int, got str"),
        ({"folder": "f", "names": ["a", 1]}, "args.names[1]: Expected str, got int"),
        ({"folder": "f", "share": 2}, "args.share: found 2, expected float <= 1.0"),
        (
            {"folder": "f", "path_or_number": 1.5},
            "args.path_or_number: found 1.5, expected pathlib.Path | int",
        ),
        ({"folder": "f", "pool": "x"}, 'args.pool: found "x", expected Pool'),
        (
            {"folder": "f", "foldr": 1},
            'args.foldr: test_resolution:Choosy takes no such argument. Did you mean "folder"?',
        ),
        (
            {"folder": "f", "self": 1},
            "args.self: test_resolution:Choosy takes no such argument. It takes folder, currency",
        ),
    ],
)
def test_arguments_that_do_not_fit(args: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_args(child(actor=Choosy, args=args))
    assert str(caught.value).startswith(f'ChildSpec "c": {text}')


def test_live_objects_pass_in_code() -> None:
    class Watch:
        def read(self) -> float:
            return 0.0

    pool, watch = Pool(), Watch()
    kwargs = build_args(child(actor=Choosy, args={"folder": "f", "pool": pool, "clock": watch, "on_done": print}))
    assert (kwargs["pool"], kwargs["clock"], kwargs["on_done"]) == (pool, watch, print)


def test_no_two_incarnations_share_an_argument() -> None:
    resolution = resolve_spec(child(actor=Choosy, args={"folder": "f", "names": ["a"], "anything": {"x": [1]}}))
    one, two = resolution.kwargs(), resolution.kwargs()
    one["names"].append("b")
    one["anything"]["x"].append(2)
    assert two["names"] == ["a"]
    assert resolution.kwargs()["anything"] == {"x": [1]}
    resolution.cls(**two)


def test_open_signatures_take_what_they_say() -> None:
    assert build_args(child(actor=Open, args={"first": 1, "other": 2})) == {"first": 1, "other": 2}
    with pytest.raises(ConfigError, match=r'args.other: found "x", expected int'):
        build_args(child(actor=Open, args={"other": "x"}))
    with pytest.raises(ConfigError, match="by position only"):
        build_args(child(actor=Positional))


def test_annotations_that_cannot_be_resolved_are_named() -> None:
    assert build_args(child(actor=Misnamed)) == {}
    with pytest.raises(
        ConfigError, match=r"args\.share: the annotations of test_resolution:Misnamed.__init__ can't be resolved"
    ):
        build_args(child(actor=Misnamed, args={"share": 1}))


# -- options -------------------------------------------------------------------------------------------------


def test_a_spec_overrides_the_options_of_its_class() -> None:
    options = resolve_spec(child(actor=Choosy, args={"folder": "f"})).options
    assert options == Choosy.__definition__.options
    spec = child(
        actor=Choosy,
        args={"folder": "f"},
        max_attempts=1,
        backoff={"initial_s": 1.0},
        retry_on=["KeyError"],
        reject_on=[OSError],
        handler_timeout_s="infinity",
        idle_timeout_s=2,
        durable=False,
    )
    options = resolve_spec(spec).options
    assert (options.max_attempts, options.durable, options.capacity) == (1, False, 10_000)
    assert options.backoff == Backoff(initial_s=1.0, factor=3.0), "a table changes what it names"
    assert (options.retry_on, options.reject_on) == ((KeyError,), (OSError,))
    assert (options.handler_timeout_s, options.idle_timeout_s) == (None, 2)
    whole = child(actor=Choosy, args={"folder": "f"}, backoff=Backoff(initial_s=1.0))
    assert resolve_spec(whole).options.backoff == Backoff(initial_s=1.0), "a Backoff replaces it"


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="OSError is in retry_on and in reject_on"):
        resolve_spec(child(actor=Choosy, args={"folder": "f"}, reject_on=[OSError]))
    with pytest.raises(ConfigError, match=r'ChildSpec "c": journal: .*not in this release'):
        resolve_spec(child(journal=True))
    with pytest.raises(ConfigError, match=r"found \"BaseException\", expected a subclass of Exception"):
        resolve_spec(child(retry_on=["BaseException"]))
