"""Faulty specs and flags: at the start of a tree, and in `StartChild`. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import MemoryGround
from otp_steps import ask, kid, kids, running, sup, which
from otp_worker import Cues, Worker

from greenroom import ChildSpec, ConfigError, StartChild, SupervisorSpec

FAULTS: list[tuple[str, Any]] = [
    ("id", ""),
    ("id", "a/b"),
    ("id", 5),
    ("actor", "no_colon"),
    ("actor", "nowhere:Nothing"),
    ("actor", "otp_worker:Cues"),
    ("restart", "prmanent"),
    ("restart", None),
    ("shutdown", -10),
    ("shutdown", "brutal"),
    ("shutdown", None),
    ("significant", "yes"),
    ("args", {"silly": True}),
    ("args", {"note": 5}),
    ("max_attempts", 0),
]
"""One field each of a child spec that is right otherwise."""


def faulty(field: str, value: Any) -> ChildSpec:
    return ChildSpec(**{"id": "b", "actor": Worker, field: value})


def test_sup_start_map_faulty_specs() -> None:
    """A spec that lacks a field, or has an unknown one, can't even be written down."""
    with pytest.raises(TypeError, match="id"):
        ChildSpec(actor=Worker)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="actor"):
        ChildSpec(id="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="silly_flag"):
        ChildSpec(id="a", actor=Worker, silly_flag=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="id"):
        SupervisorSpec()  # type: ignore[call-arg]


@pytest.mark.parametrize(("field", "value"), FAULTS)
async def test_child_specs(memory: MemoryGround, cues: Cues, field: str, value: Any) -> None:
    """`StartChild` refuses it, naming the field, and nothing has changed."""
    async with memory.node(sup(*kids("a"))) as system:
        with pytest.raises(ConfigError) as caught:
            await ask(system, "/sup", StartChild(spec=faulty(field, value)))
        assert caught.value.key.startswith(field)
        assert await which(system, "/sup") == running("a")
        assert cues.take() == ["+a"]


@pytest.mark.parametrize(("field", "value"), FAULTS)
async def test_child_specs_at_start(memory: MemoryGround, cues: Cues, field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        async with memory.node(sup(*kids("a"), faulty(field, value))):
            pytest.fail("it started")
    assert caught.value.key.startswith(f"children[1].{field}")
    assert cues.take() == [], "nothing had started by then"


async def test_child_specs_correct(memory: MemoryGround, cues: Cues) -> None:
    """The ones that OTP's suite takes: infinity for workers as well, a time for supervisors."""
    async with memory.node(sup()) as system:
        for spec in (
            sup(id="a", shutdown="infinity"),
            sup(id="b", shutdown=1.0),
            kid("c", restart="temporary", shutdown=1.0),
            kid("d", restart="transient", shutdown=0),
            kid("e", shutdown="infinity"),
        ):
            await ask(system, "/sup", StartChild(spec=spec))
        assert await which(system, "/sup") == running("e", "d", "c", "b", "a")


async def test_child_specs_duplicate(memory: MemoryGround, cues: Cues) -> None:
    with pytest.raises(ConfigError) as caught:
        async with memory.node(sup(*kids("a", "b", "a"))):
            pytest.fail("it started")
    assert caught.value.key == "children[2].id"
    assert cues.take() == []


@pytest.mark.parametrize(
    ("auto_shutdown", "restart", "fits"),
    [
        ("never", "permanent", False),
        ("never", "transient", False),
        ("never", "temporary", False),
        ("any_significant", "permanent", False),
        ("any_significant", "transient", True),
        ("any_significant", "temporary", True),
        ("all_significant", "permanent", False),
        ("all_significant", "transient", True),
        ("all_significant", "temporary", True),
    ],
)
async def test_child_specs_map(memory: MemoryGround, auto_shutdown: Any, restart: Any, fits: bool) -> None:
    """Which restart types may be significant, under which supervisors; at the start and in `StartChild`."""
    spec = kid("a", restart=restart, significant=True)
    async with memory.node(sup(auto_shutdown=auto_shutdown)) as system:
        if fits:
            assert await ask(system, "/sup", StartChild(spec=spec)) == "/sup/a"
        else:
            with pytest.raises(ConfigError) as caught:
                await ask(system, "/sup", StartChild(spec=spec))
            assert caught.value.key == "significant"
            with pytest.raises(ConfigError):
                async with MemoryGround().node(sup(spec, auto_shutdown=auto_shutdown)):
                    pytest.fail("it started")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("strategy", "none_for_one"),
        ("strategy", None),
        ("intensity", -1),
        ("intensity", "infinity"),
        ("intensity", 1.5),
        ("period_s", 0),
        ("period_s", -1.0),
        ("period_s", "infinity"),
        ("auto_shutdown", "sometimes"),
        ("auto_shutdown", True),
        ("strict", "very"),
    ],
)
async def test_sup_flags(memory: MemoryGround, cues: Cues, flag: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        async with memory.node(sup(*kids("a"), **{flag: value})):
            pytest.fail("it started")
    assert caught.value.key == flag
    assert caught.value.found == value
    assert cues.take() == []


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
async def test_significant_simple(memory: MemoryGround, auto_shutdown: Any) -> None:
    """Auto-shutdown and dynamic children don't go together (OTP: bad_combination)."""
    with pytest.raises(ConfigError) as caught:
        async with memory.node(sup(strategy="dynamic", auto_shutdown=auto_shutdown)):
            pytest.fail("it started")
    assert caught.value.key == "auto_shutdown"
    async with memory.node(sup(strategy="dynamic")) as system:
        with pytest.raises(ConfigError) as caught:
            await ask(system, "/sup", StartChild(spec=kid("a", restart="temporary", significant=True)))
        assert caught.value.key == "significant"
        assert await which(system, "/sup") == []
