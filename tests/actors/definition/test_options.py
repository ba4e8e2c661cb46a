"""Options are checked when made, wherever they come from."""

import random
from typing import Any

import pytest

from greenroom.actors.definition.options import OPTION_NAMES, Backoff, Options, near_miss


class Middle:
    def random(self) -> float:
        return 0.5


class Edge:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def test_the_defaults() -> None:
    options = Options()
    assert (options.durable, options.max_attempts, options.capacity, options.overflow) == (
        True,
        5,
        10_000,
        "wait",
    )
    assert (options.handler_timeout_s, options.idle_timeout_s) == (60.0, None)
    assert options.backoff == Backoff(initial_s=0.1, factor=2.0, max_s=60.0, jitter=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("durable", 1),
        ("journal", "no"),
        ("journal", True),
        ("max_attempts", 0),
        ("max_attempts", -1),
        ("max_attempts", 2.0),
        ("max_attempts", True),
        ("capacity", 0),
        ("capacity", None),
        ("handler_timeout_s", 0),
        ("handler_timeout_s", -1.0),
        ("handler_timeout_s", float("inf")),
        ("handler_timeout_s", float("nan")),
        ("handler_timeout_s", "60"),
        ("handler_timeout_s", True),
        ("idle_timeout_s", 0.0),
        ("overflow", "drop"),
        ("overflow", None),
        ("backoff", 3),
        ("backoff", {"initial": 1}),
        ("backoff", {"initial_s": -1}),
        ("retry_on", ValueError),
        ("retry_on", ("ValueError",)),
        ("retry_on", (KeyboardInterrupt,)),
        ("reject_on", (3,)),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"(?i){name}"):
        Options().replaced(**{name: value})
    if not isinstance(value, dict):
        with pytest.raises((TypeError, ValueError), match=name):
            Options(**{name: value})


def test_one_exception_has_one_verdict() -> None:
    with pytest.raises(ValueError, match="KeyError is in retry_on and in reject_on"):
        Options(retry_on=(KeyError,), reject_on=(ValueError, KeyError))


def test_overrides_leave_the_rest() -> None:
    base = Options(max_attempts=3, backoff=Backoff(factor=3.0))
    changed = base.replaced(capacity=7, backoff={"initial_s": 1.0}, retry_on=[OSError])
    assert (changed.max_attempts, changed.capacity, changed.retry_on) == (3, 7, (OSError,))
    assert changed.backoff == Backoff(initial_s=1.0, factor=3.0)
    assert base.capacity == 10_000


def test_an_unknown_override_is_guessed() -> None:
    with pytest.raises(TypeError, match=r"no option 'max_attempt' \(did you mean 'max_attempts'\?\)"):
        Options().replaced(max_attempt=3)


def test_near_misses() -> None:
    assert near_miss("max_attempt") == "max_attempts"
    assert near_miss("idle_timeout") == "idle_timeout_s"
    assert near_miss("reject_ons") == "reject_on"
    assert all(near_miss(name) is None for name in OPTION_NAMES)
    assert not any(map(near_miss, ("timeout_s", "retries", "attempts", "journals_kept", "capacity_kg", "balance")))


# -- verdicts -----------------------------------------------------------------------------------------


def test_the_nearest_listed_class_decides() -> None:
    options = Options(retry_on=(OSError,), reject_on=(FileNotFoundError, ValueError))
    assert options.verdict(OSError()) == "retry"
    assert options.verdict(ConnectionResetError()) == "retry"
    assert options.verdict(FileNotFoundError()) == "reject"
    assert options.verdict(UnicodeError()) == "reject"
    assert options.verdict(KeyError()) is None
    assert Options().verdict(ValueError()) is None


def group(*parts: Exception) -> Exception:
    return ExceptionGroup("several", parts)


class OwnGroup(ExceptionGroup):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([OSError()], "retry"),
        ([OSError(), ConnectionResetError()], "retry"),
        ([ValueError()], "reject"),
        ([ValueError(), FileNotFoundError()], "reject"),
        ([OSError(), ValueError()], "reject"),  # a retry would only meet the ValueError again
        ([KeyError()], None),
        ([OSError(), KeyError()], None),
        ([ValueError(), KeyError()], None),
        ([group(OSError(), group(ConnectionResetError()))], "retry"),
        ([OSError(), group(ValueError())], "reject"),
        ([OSError(), group(OSError(), group(KeyError()))], None),
    ],
)
def test_every_part_of_a_group_counts(parts: list[Exception], verdict: str | None) -> None:
    options = Options(retry_on=(OSError,), reject_on=(FileNotFoundError, ValueError))
    assert options.verdict(group(*parts)) == verdict


def test_a_base_class_of_groups_stands_for_the_parts_and_a_class_of_groups_for_itself() -> None:
    broad = Options(retry_on=(Exception,), reject_on=(ValueError,))
    assert broad.verdict(group(KeyError())) == "retry"
    assert broad.verdict(group(ValueError())) == "reject"
    assert Options(retry_on=(ExceptionGroup,)).verdict(group(ValueError())) == "retry"
    listed = Options(retry_on=(OwnGroup,), reject_on=(ExceptionGroup,))
    assert listed.verdict(OwnGroup("mine", [KeyError()])) == "retry"
    assert listed.verdict(group(KeyError())) == "reject"


def test_a_part_that_is_no_exception_is_in_no_list() -> None:
    options = Options(retry_on=(Exception,))
    assert options.verdict(BaseExceptionGroup("several", [OSError(), GeneratorExit()])) is None


# -- backoff ------------------------------------------------------------------------------------------


def test_delays_grow_up_to_the_limit() -> None:
    backoff = Backoff(initial_s=0.5, factor=2.0, max_s=3.0, jitter=0.0)
    assert [backoff.delay_s(attempt, Middle()) for attempt in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_huge_attempts_do_not_overflow() -> None:
    assert Backoff(jitter=0.0).delay_s(10**6, Middle()) == 60.0
    assert Backoff(initial_s=0.0, jitter=0.0).delay_s(10**6, Middle()) == 0.0


def test_jitter_spreads_either_way_and_keeps_the_limit() -> None:
    backoff = Backoff(initial_s=1.0, max_s=10.0, jitter=0.25)
    assert backoff.delay_s(1, Edge(0.0)) == 0.75
    assert backoff.delay_s(1, Middle()) == 1.0
    assert backoff.delay_s(1, Edge(1.0)) == 1.25
    assert backoff.delay_s(9, Edge(1.0)) == 10.0
    source = random.Random(1)
    assert len({backoff.delay_s(1, source) for _ in range(10)}) == 10


@pytest.mark.parametrize(
    "values",
    [{"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}, {"max_s": float("inf")}, {"initial_s": float("nan")},
     {"initial_s": "1"}, {"factor": True}],
)  # fmt: skip
def test_a_wrong_backoff_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"Backoff\({next(iter(values))}="):
        Backoff(**values)
