"""Specs in code: what they keep, and the rules they must fulfil; the errors that say so.

The numbers in brackets are those of OTP's behaviours: 10 sup_start_map, 11 sup_start_map_faulty_specs,
12 child_specs and child_specs_map, 13 sup_flags.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import pytest

from greenroom.actors.actor import Actor
from greenroom.persistence.errors import GreenroomError
from greenroom.supervision.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ConfigError,
    Problem,
    Running,
    SupervisorError,
    TreeGaveUp,
)
from greenroom.supervision.spec.references import Unresolvable, refer, resolve
from greenroom.supervision.spec.resolution import check_child, check_tree, resolve_spec
from greenroom.supervision.spec.spec import ChildSpec, SupervisorSpec, to_config, walk
from greenroom.supervision.spec.validation import validate


class Pool:
    pass


class Plain(Actor[None]):
    pass


class Inner:
    class Nested(Actor[None]):
        pass


def child(**fields: Any) -> ChildSpec:
    return ChildSpec(**{"id": "c", "actor": Plain, **fields})


def root(*children: Any, **fields: Any) -> SupervisorSpec:
    return SupervisorSpec(id="root", children=list(children), **fields)


def texts(spec: Any) -> list[str]:
    return [str(problem) for problem in validate(spec)]


def keys(spec: Any) -> list[str]:
    return [problem.key for problem in validate(spec)]


# -- what a spec keeps ---------------------------------------------------------------------------------------


def test_defaults_are_otps_and_readable() -> None:  # 10
    actor, supervisor = child(), root()
    assert (actor.restart, actor.significant, actor.shutdown) == ("permanent", False, 5.0)
    assert (supervisor.restart, supervisor.significant, supervisor.shutdown) == (
        "permanent",
        False,
        "infinity",
    )
    assert (supervisor.strategy, supervisor.intensity, supervisor.period_s) == ("one_for_one", 3, 5.0)
    assert (supervisor.auto_shutdown, supervisor.max_children) == ("never", 100_000)
    assert (actor.kind, supervisor.kind) == ("actor", "supervisor")


def test_a_class_is_kept_as_its_reference() -> None:
    spec = child(retry_on=[OSError, msgspec.ValidationError])
    assert spec.actor == "test_spec:Plain"
    assert spec.retry_on == ("OSError", "msgspec:ValidationError")
    assert spec == child(actor="test_spec:Plain", retry_on=("OSError", "msgspec:ValidationError"))
    assert child(actor=Inner.Nested).actor == "test_spec:Inner.Nested"
    assert resolve_spec(child(actor="test_spec:Inner.Nested")).cls is Inner.Nested


def test_local_classes_work_in_code_and_are_never_mixed_up() -> None:
    def make() -> type[Actor[None]]:
        class Local(Actor[None]):
            pass

        return Local

    one, two = make(), make()
    specs = [child(id="one", actor=one), child(id="two", actor=two), child(id="again", actor=one)]
    assert specs[0].actor != specs[1].actor
    assert specs[0].actor == specs[2].actor
    decoded = [msgspec.json.decode(msgspec.json.encode(spec), type=ChildSpec) for spec in specs]
    assert [resolve_spec(spec).cls for spec in decoded] == [one, two, one]


def test_a_local_class_of_another_process_cannot_be_resolved() -> None:
    with pytest.raises(Unresolvable, match="local to a function"):
        resolve("test_spec:gone.<locals>.Local")


def test_a_name_that_was_bound_to_another_class_is_told_apart() -> None:
    first = type("Rebound", (Actor,), {"__module__": __name__})
    globals()["Rebound"] = first
    try:
        assert refer(first) == "test_spec:Rebound"
        second = type("Rebound", (Actor,), {"__module__": __name__, "__qualname__": "Rebound"})
        assert refer(second) != refer(first)
        assert resolve(refer(first)) is first
        with pytest.raises(Unresolvable, match='module "test_spec" has another class of that name by now'):
            resolve(refer(second))
    finally:
        del globals()["Rebound"]


def test_to_config_leaves_defaults_out() -> None:
    spec = root(child(args={"a": 1}, max_attempts=2), strategy="one_for_all")
    assert to_config(spec) == {
        "kind": "supervisor",
        "id": "root",
        "strategy": "one_for_all",
        "children": [{"kind": "actor", "id": "c", "actor": "test_spec:Plain", "args": {"a": 1}, "max_attempts": 2}],
    }
    with pytest.raises(TypeError):
        to_config(child(args={"pool": Pool()}))


def test_walk_gives_addresses_in_starting_order() -> None:
    tree = root(child(id="a"), SupervisorSpec(id="s", children=[child(id="b")]), child(id="z"))
    assert [address for address, _ in walk(tree)] == ["/root", "/root/a", "/root/s", "/root/s/b", "/root/z"]


# -- the rules -----------------------------------------------------------------------------------------------


def test_each_field_is_checked_in_code_too() -> None:  # 11
    spec: Any = child(id="", restart="always", shutdown=-1, significant=1, actor=5, args=[], durable="no")
    assert keys(spec) == ["id", "restart", "shutdown", "significant", "actor", "args", "durable"]
    spec = child(max_attempts=True, capacity=1.5, overflow=0, idle_timeout_s=0, handler_timeout_s="x", retry_on=OSError)
    assert keys(spec) == [
        "max_attempts",
        "handler_timeout_s",
        "capacity",
        "overflow",
        "idle_timeout_s",
        "retry_on",
    ]
    spec = child(backoff={"jitter": 2, "jiter": 1}, reject_on=[5, ""])
    assert keys(spec) == ["backoff.jitter", "backoff.jiter", "reject_on[0]", "reject_on[1]"]


@pytest.mark.parametrize("identity", ["a", "ä", "a.b", "a b", "日本", "x" * 200, "-"])
def test_an_id_is_a_segment_of_an_address(identity: str) -> None:
    assert keys(root(child(id=identity))) == []


@pytest.mark.parametrize("identity", ["", "/", "a/b", "\n", "a\x00", "\ud800", "x" * 201, 5, None, b"a"])
def test_what_is_no_segment_of_an_address_is_no_id(identity: Any) -> None:
    assert keys(root(child(id=identity))) == ["children[0].id"]


@pytest.mark.parametrize("shutdown", [0, 0.5, 5, "brutal_kill", "infinity"])
def test_valid_shutdowns(shutdown: Any) -> None:  # 12
    assert keys(child(shutdown=shutdown)) == []


@pytest.mark.parametrize("shutdown", [-0.1, float("nan"), float("inf"), True, "kill", None, [], 10**400])
def test_invalid_shutdowns(shutdown: Any) -> None:  # 12
    assert keys(child(shutdown=shutdown)) == ["shutdown"]


def test_duplicate_ids_are_refused() -> None:  # 12
    tree = root(child(id="a"), child(id="b"), child(id="a"), SupervisorSpec(id="a"))
    assert keys(tree) == ["children[2].id", "children[3].id"]


@pytest.mark.parametrize("auto_shutdown", ["never", "any_significant", "all_significant"])
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_significant_children_need_an_end_and_someone_who_minds(auto_shutdown: Any, restart: Any) -> None:  # 12
    tree = root(child(restart=restart, significant=True), auto_shutdown=auto_shutdown)
    problems = (auto_shutdown == "never") + (restart == "permanent")
    assert keys(tree) == ["children[0].significant"] * problems


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        (
            "strategy",
            ["simple_one_for_one", 1, None, ["one_for_one"]],
            ["one_for_one", "one_for_all", "rest_for_one"],
        ),
        ("intensity", [-1, 1.0, True, "3", None], [0, 1, 10**6]),
        ("period_s", [0, -1, float("nan"), "5", None, True], [1, 0.1]),
        ("auto_shutdown", ["any", True, None], ["never", "any_significant", "all_significant"]),
        ("children", [5, "abc", {"id": "a"}, {1, 2}, None], [[], ()]),
    ],
)
def test_flags(field: str, bad: list[Any], good: list[Any]) -> None:  # 13
    for value in bad:
        spec: Any = SupervisorSpec(id="root", **{field: value})
        assert keys(spec) == [field], value
    for value in good:
        spec = SupervisorSpec(id="root", **{field: value})
        assert keys(spec) == [], value


def test_dynamic_supervisors_have_a_template_and_no_children() -> None:  # 12, 13
    assert keys(SupervisorSpec(id="d", strategy="dynamic", template=child(), max_children=1)) == []
    assert keys(SupervisorSpec(id="d", strategy="dynamic")) == []
    assert keys(SupervisorSpec(id="d", strategy="dynamic", children=[child()])) == ["children"]
    assert keys(SupervisorSpec(id="d", strategy="dynamic", auto_shutdown="all_significant")) == ["auto_shutdown"]
    assert keys(SupervisorSpec(id="d", template=child(), max_children=9)) == ["template", "max_children"]
    wrong: Any = SupervisorSpec(id="t")
    assert keys(SupervisorSpec(id="d", strategy="dynamic", template=wrong)) == ["template"]
    significant = child(significant=True, restart="temporary")
    assert keys(SupervisorSpec(id="d", strategy="dynamic", template=significant)) == ["template.significant"]


def test_a_child_started_at_run_time_is_checked_against_its_supervisor() -> None:
    significant = child(significant=True, restart="transient")
    check_child(significant, root(auto_shutdown="any_significant"))
    for parent in (root(), SupervisorSpec(id="d", strategy="dynamic")):
        with pytest.raises(ConfigError) as caught:
            check_child(significant, parent)
        assert caught.value.key == "significant"
    with pytest.raises(ConfigError, match=r'ChildSpec "c": args\.x: test_spec:Plain takes no such argument'):
        check_child(child(args={"x": 1}), root())
    check_child(SupervisorSpec(id="s", children=[child()]), root())


def test_check_tree_reports_rules_classes_and_arguments_together() -> None:
    tree = root(child(restart="x", args={"y": 1}), child(id="d", actor="test_spec:Plan"), child(id="d"), intensity=-1)
    with pytest.raises(ConfigError) as caught:
        check_tree(tree)
    assert str(caught.value).splitlines() == [
        'SupervisorSpec "root": 5 problems',
        "  intensity: found -1, expected a whole number of at least 0",
        '  children[0].restart: found "x", expected one of permanent, transient, temporary',
        "  children[0].args.y: test_spec:Plain takes no such argument. It takes none.",
        (
            f'  children[1].actor: "test_spec:Plan": module "test_spec" has no "Plan" ({__file__}). '
            'Did you mean "test_spec:Plain"?'
        ),
        '  children[2].id: found "d", expected an id of its own: children[1] has that one',
    ]
    wrong: Any = child()
    with pytest.raises(ConfigError, match="expected a SupervisorSpec as the root of the tree"):
        check_tree(wrong)


# -- the errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AlreadyStarted, AlreadyPresent, Running, ChildNotFound])
def test_a_supervisor_names_itself_and_the_child(kind: type[SupervisorError]) -> None:
    error = kind("/bank/accounts", "alice")
    assert (error.supervisor, error.child) == ("/bank/accounts", "alice")
    assert "/bank/accounts" in str(error)
    assert "'alice'" in str(error)
    assert isinstance(error, GreenroomError)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("bank.toml", [Problem(key="a", why="b"), Problem(key="c", found=1, expected="2", hint="d.")]),
        ChildNotFound("/a", "b"),
        TreeGaveUp("/a", "too many restarts", ["x", "y"]),
        Unresolvable("a:B", "why", "hint"),
    ],
)
def test_errors_survive_copying(error: Exception) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_a_tree_that_gave_up_shows_its_last_exits() -> None:
    error = TreeGaveUp("/bank", "more than 3 restarts in 5 s", [f"exit {n}" for n in range(30)])
    assert str(error).splitlines()[0] == "/bank gave up: more than 3 restarts in 5 s"
    assert str(error).splitlines()[1:] == [f"  exit {n}" for n in range(20, 30)]
    assert len(error.history) == 30


def test_found_values_are_shown_as_a_file_has_them() -> None:
    shown = {
        "true": True,
        "1.5": 1.5,
        '"ä"': "ä",
        "null": None,
        "a table": {"a": 1},
        "an empty table": {},
        "an array": [1],
        "an empty array": (),
        "nothing": msgspec.UNSET,
        "a ChildSpec": child(),
    }
    for text, value in shown.items():
        assert str(Problem(key="k", found=value, expected="x")) == f"k: found {text}, expected x"
    assert len(str(Problem(key="k", found="x" * 1000, expected="x"))) < 120
