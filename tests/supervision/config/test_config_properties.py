"""Whatever is done to a valid config: it gives a valid tree, or says what is wrong; nothing else escapes."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from config_cases import ONE_PROBLEM
from config_samples import SAMPLE, attempted, sample_tree
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from json_schema import violations

from greenroom.supervision.config.load import config_schema, load_config
from greenroom.supervision.errors import ConfigError
from greenroom.supervision.spec.resolution import check_tree
from greenroom.supervision.spec.spec import ChildSpec, Spec, SupervisorSpec, to_config

FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
SCHEMA = config_schema()

VALID: dict[str, Any] = {
    "store": {"url": "sqlite:///bank.db"},
    "node": {"hang_s": 30.0, "respawn_intensity": 10, "respawn_period_s": 60.0, "stop_timeout_s": 30.0},
    "supervisor": {
        "kind": "supervisor",
        "id": "bank",
        "strategy": "rest_for_one",
        "intensity": 3,
        "period_s": 5.0,
        "auto_shutdown": "any_significant",
        "restart": "permanent",
        "shutdown": "infinity",
        "children": [
            {
                "kind": "actor",
                "id": "ledger",
                "actor": "bank:Ledger",
                "args": {"currency": "EUR", "since": "2026-01-02"},
                "restart": "transient",
                "significant": True,
                "shutdown": 5.0,
                "durable": True,
                "max_attempts": 3,
                "backoff": {"initial_s": 0.5, "factor": 2.0},
                "retry_on": ["OSError"],
                "reject_on": ["bank:Insufficient"],
                "handler_timeout_s": "infinity",
                "capacity": 100,
                "overflow": "reject",
                "idle_timeout_s": 60.0,
            },
            {
                "id": "accounts",
                "strategy": "dynamic",
                "max_children": 10,
                "template": {"id": "account", "actor": "bank:Account"},
            },
            {
                "id": "inner",
                "children": [{"id": "archive", "actor": "bank:Archive", "args": {"folder": "books"}}],
            },
        ],
    },
}

VALUES = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 3, 10**400, 0.0, 1.5, -2.5, 1e300),
        *("", "x", "a/b", "infinity", "never", "dynamic", "transient", "\ud800", "y" * 300),
        *("bank:Ledger", "bank:Nothing", "bank.Ledger"),
        *([], ["x"], [None], [[[]]], {}, {"x": 1}, {"": {}}, {"id": "x"}),
        *([{"id": "x", "actor": "bank:Account"}], [{"id": "x", "strategy": "one_for_one"}]),
    ]
)
NAMES = st.sampled_from(
    [
        "actor",
        "actr",
        "id",
        "strategy",
        "children",
        "template",
        "kind",
        "args",
        "significant",
        "restart",
        "",
        "x y",
    ]
) | st.text(max_size=5)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a nested value."""
    entries = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [(value, key) for key, _ in entries] + [place for _, entry in entries for place in places(entry)]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    config = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 4))):
        choices = places(config)
        if not choices:
            break
        container, key = choices[draw(st.integers(0, len(choices) - 1))]
        match draw(st.sampled_from(["delete", "rename", "retype", "copy"])):
            case "delete":
                del container[key]
            case "rename" if isinstance(container, dict):
                container[draw(NAMES)] = container.pop(key)
            case "copy":
                other, source = choices[draw(st.integers(0, len(choices) - 1))]
                container[key] = copy.deepcopy(other[source])
            case _:
                container[key] = copy.deepcopy(draw(VALUES))  # a later step may change it
    return config


def test_the_config_that_is_mutated_is_valid_itself(app: Path) -> None:
    Path("bank.json").write_text(json.dumps(VALID))
    check_tree(load_config("bank.json", environ={}).tree)
    assert violations(VALID, SCHEMA, SCHEMA) == []


@FIXTURE
@given(config=mutated())
def test_a_mutated_config_gives_a_valid_tree_or_a_config_error(app: Path, config: Any) -> None:
    Path("bank.json").write_text(json.dumps(config))
    outcome = attempted("bank.json")
    if isinstance(outcome, ConfigError):
        event("refused")
        assert str(outcome).startswith("bank.json: ")
        for problem in outcome.problems:
            assert problem.why or problem.expected
            assert len(str(problem)) < 1000
        return
    event("valid")
    check_tree(outcome.tree)
    assert outcome.effective()
    assert msgspec.json.decode(msgspec.json.encode(outcome.tree), type=SupervisorSpec) == outcome.tree
    assert violations(config, SCHEMA, SCHEMA) == [], "an editor would mark what the loader takes"


@FIXTURE
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize("name", ["bank.toml", "bank.json"])
def test_garbage_gives_a_config_error(app: Path, name: str, data: bytes) -> None:
    Path(name).write_bytes(data)
    with pytest.raises(ConfigError):
        load_config(name, environ={})


@FIXTURE
@given(cut=st.integers(0, len(SAMPLE)), insert=st.text(max_size=3))
def test_a_sample_that_was_cut_or_mistyped_anywhere(app: Path, cut: int, insert: str) -> None:
    for text in (SAMPLE[:cut], SAMPLE[:cut] + insert + SAMPLE[cut:], SAMPLE[:cut] + SAMPLE[cut + 1 :]):
        Path("bank.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
        outcome = attempted("bank.toml")
        if isinstance(outcome, ConfigError):
            assert str(outcome).startswith("bank.toml: ")
        else:
            check_tree(outcome.tree)


IDS = st.text(st.characters(blacklist_categories=("C", "Z"), blacklist_characters="/"), min_size=1, max_size=10)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ACTORS = st.builds(
    ChildSpec,
    id=IDS,
    actor=st.just("bank:Ledger"),
    args=st.dictionaries(st.text(), PLAIN, max_size=3),
    restart=st.sampled_from(["permanent", "transient", "temporary"]),
    shutdown=st.sampled_from(["brutal_kill", "infinity"]) | st.floats(0, 1e9),
    max_attempts=st.none() | st.integers(1, 9),
    backoff=st.none() | st.just({"initial_s": 1.0}),
    retry_on=st.none() | st.lists(st.sampled_from([OSError, "bank:Insufficient"]), max_size=2),
    idle_timeout_s=st.none() | st.just("infinity") | st.floats(0.1, 1e9),
)
SUPERVISORS = st.recursive(
    st.builds(SupervisorSpec, id=IDS, strategy=st.just("dynamic"), template=st.none() | ACTORS),
    lambda inner: st.builds(
        SupervisorSpec,
        id=IDS,
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        intensity=st.integers(0, 100),
        period_s=st.floats(0.1, 1e6),
        children=st.lists(ACTORS | inner, max_size=3),
    ),
    max_leaves=4,
)


@given(spec=ACTORS | SUPERVISORS)
def test_code_to_json_to_code(spec: Spec) -> None:
    again = msgspec.json.decode(msgspec.json.encode(spec), type=ChildSpec | SupervisorSpec)
    assert again == spec
    assert msgspec.convert(to_config(spec), ChildSpec | SupervisorSpec) == spec


@given(tree=SUPERVISORS)
def test_what_code_writes_fits_the_schema(tree: SupervisorSpec) -> None:
    config = json.loads(msgspec.json.encode({"supervisor": tree}))
    assert violations(config, SCHEMA, SCHEMA) == []


def test_the_schema_takes_the_sample_and_refuses_mistakes() -> None:
    assert violations(tomllib.loads(SAMPLE), SCHEMA, SCHEMA) == []
    assert violations({"supervisor": to_config(sample_tree())}, SCHEMA, SCHEMA) == []
    for text, message in ONE_PROBLEM:
        structural = "no such key" in message or "expected a number" in message or "expected a whole" in message
        if structural and "NaN" not in message and "Infinity" not in message and ".args." not in message:
            assert violations(tomllib.loads(text), SCHEMA, SCHEMA), message
