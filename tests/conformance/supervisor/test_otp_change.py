"""Reconfigure: the flags and child specs of a running supervisor. Named after OTP's supervisor_SUITE, code_change."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import Ground, MemoryGround
from otp_steps import ask, end, gives_up, kid, kids, life, running, sup, top, which
from otp_worker import Cues, Life

from greenroom import (
    ActorSystem,
    ConfigError,
    GetChildSpec,
    Reconfigure,
    RestartChild,
    StartChild,
    SupervisorSpec,
    TerminateChild,
)
from greenroom.testing import VirtualRuntime


async def test_code_change(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """Flags: they hold from now on, and the exits there have been still count."""
    async with memory.node(sup(*kids("a", "b"), intensity=3, period_s=5.0), runtime=clock) as system:
        await end(system, "/sup/a")
        cues.take()
        await ask(
            system, "/sup", Reconfigure(spec=sup(*kids("a", "b"), strategy="one_for_all", intensity=3, period_s=5.0))
        )
        assert cues.take() == [], "nothing is stopped or started for it"
        await end(system, "/sup/b")
        assert cues.take() == ["-b error", "-a", "+a", "+b"]
        await ask(system, "/sup", Reconfigure(spec=sup(*kids("a", "b"), intensity=1, period_s=1.0)))
        await clock.advance(1.1)
        await end(system, "/sup/a")
        await gives_up(system, "/sup/a")


async def test_code_change_intensity_keeps_history(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """supervisor.erl, set_flags: the restarts that have been are kept."""
    async with memory.node(sup(*kids("a"), intensity=5), runtime=clock) as system:
        for _ in range(2):
            await end(system, "/sup/a")
        await ask(system, "/sup", Reconfigure(spec=sup(intensity=2)))
        await gives_up(system, "/sup/a")


async def test_code_change_map(ground: Ground, cues: Cues) -> None:
    """Child specs: changed ones hold from the next start, new ones aren't started, those that aren't named stay."""
    async with ground.node(sup()) as system:
        await ask(system, "/sup", Reconfigure(spec=sup(kid("child1", shutdown=2.0), kid("child2"))))
        assert await which(system, "/sup") == [("child2", "stopped"), ("child1", "stopped")]
        assert cues.take() == []
        for one in ("child1", "child2"):
            await ask(system, "/sup", RestartChild(id=one))
        assert await which(system, "/sup") == running("child2", "child1")
        assert (await ask(system, "/sup", GetChildSpec(id="child1"))).shutdown == 2.0

        await ask(system, "/sup", Reconfigure(spec=sup(kid("child1", shutdown=1.0), kid("child3"))))
        assert (await ask(system, "/sup", GetChildSpec(id="child1"))).shutdown == 1.0
        assert await which(system, "/sup") == [("child2", "running"), ("child3", "stopped"), ("child1", "running")]
        assert await life(system, "/sup/child1") == 1, "running children go on"
        assert await life(system, "/sup/child2") == 1


async def test_code_change_args(memory: MemoryGround, cues: Cues) -> None:
    """New arguments and options hold from the next start."""
    async with memory.node(sup(*kids("a"))) as system:
        await ask(system, "/sup", Reconfigure(spec=sup(kid("a", args={"note": "new"}, restart="temporary"))))
        assert await life(system, "/sup/a") == 1
        await end(system, "/sup/a")
        assert await which(system, "/sup") == [], "its restart type holds at once"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"intensity": "faulty"}, "intensity"),
        ({"strategy": "none_for_one"}, "strategy"),
        ({"period_s": 0}, "period_s"),
        ({"auto_shutdown": "sometimes"}, "auto_shutdown"),
        ({"children": [kid("a"), kid("b", restart="often")]}, "children[1].restart"),
        ({"children": [kid("a"), kid("a")]}, "children[1].id"),
        ({"children": [kid("a", significant=True, restart="transient")]}, "children[0].significant"),
        ({"children": ["faulty"]}, "children[0]"),
        ({"id": "other"}, "id"),
        ({"strategy": "dynamic", "children": ()}, "strategy"),
    ],
)
async def test_code_change_faulty(memory: MemoryGround, cues: Cues, change: dict[str, Any], key: str) -> None:
    """A change that is wrong anywhere changes nothing anywhere."""
    async with memory.node(sup(kid("a", shutdown=2.0), intensity=1)) as system:
        fields: dict[str, Any] = {"id": "sup", "children": [kid("a", shutdown=9.0)], "intensity": 7, "strict": True}
        with pytest.raises(ConfigError) as caught:
            await ask(system, "/sup", Reconfigure(spec=SupervisorSpec(**(fields | change))))
        assert key in [problem.key for problem in caught.value.problems]
        assert (await ask(system, "/sup", GetChildSpec(id="a"))).shutdown == 2.0
        assert await which(system, "/sup") == running("a")
        await end(system, "/sup/a")
        await gives_up(system, "/sup/a")


async def test_code_change_of_inner_supervisor(memory: MemoryGround, cues: Cues) -> None:
    """Its flags hold from its next start. Its children are its own: they are changed by asking it."""
    inner = sup(*kids("b"), id="s", intensity=0)
    async with memory.node(sup(inner, *kids("a"))) as system:
        with pytest.raises(ConfigError) as caught:
            await ask(system, "/sup", Reconfigure(spec=sup(sup(*kids("b", "c"), id="s"), *kids("a"))))
        assert caught.value.key == "children[0].children"
        assert "/sup/s" in str(caught.value)
        await ask(system, "/sup", Reconfigure(spec=sup(sup(*kids("b"), id="s", intensity=1), *kids("a"))))
        await end(system, "/sup/s/b")  # still one too many: s is restarted, with what it has from now on
        await end(system, "/sup/s/b")  # borne
        await end(system, "/sup/s/b")
        await end(system, "/sup/s/b")
        assert cues.lives == {"a": 1, "b": 5}
        await ask(system, "/sup/s", Reconfigure(spec=sup(*kids("b", "c"), id="s")))
        assert await which(system, "/sup/s") == [("c", "stopped"), ("b", "running")]


async def test_code_change_lasts(ground: Ground, cues: Cues) -> None:
    """Children that a change has added are in the node's next life, behind those that its tree names."""
    async with ground.node(sup(*kids("a", "b"))) as system:
        await ask(system, "/sup", StartChild(spec=kid("c")))
        await ask(system, "/sup", Reconfigure(spec=sup(*kids("d", "b"), kid("c", shutdown=9.0))))
        assert await which(system, "/sup") == [*running("a", "c", "b"), ("d", "stopped")]
        await ask(system, "/sup", RestartChild(id="d"))
    cues.take()
    async with ground.node(sup(*kids("a", "b"))) as system:
        assert await which(system, "/sup") == running("c", "d", "b", "a")
        assert cues.take() == ["+a", "+b", "+d", "+c"]
        assert (await ask(system, "/sup", GetChildSpec(id="c"))).shutdown == 9.0


async def test_code_change_simple(memory: MemoryGround, cues: Cues) -> None:
    """A template can be changed; that there is exactly one can't."""
    pool = sup(strategy="dynamic", template=kid("template", restart="permanent"))
    async with memory.node(pool) as system:
        assert await ask(system, "/sup/a", Life()) == 1
        await ask(system, "/sup", Reconfigure(spec=sup(strategy="dynamic", template=kid("t", restart="temporary"))))
        assert await life(system, "/sup/a") == 1
        assert await ask(system, "/sup/b", Life()) == 1
        assert (await ask(system, "/sup", GetChildSpec(id="b"))).restart == "temporary"
        for wrong in (
            sup(*kids("b"), strategy="dynamic", template=kid("t")),
            sup(*kids("b")),
            sup(strategy="dynamic", template=kid("t", restart="often")),
        ):
            with pytest.raises(ConfigError):
                await ask(system, "/sup", Reconfigure(spec=wrong))
        assert await ask(system, "/sup/c", Life()) == 1


async def test_code_change_simple_map(memory: MemoryGround, cues: Cues) -> None:
    """A dynamic supervisor without a template: its flags."""
    async with memory.node(sup(strategy="dynamic", intensity=0)) as system:
        await ask(system, "/sup", StartChild(spec=kid("a")))
        await ask(system, "/sup", Reconfigure(spec=sup(strategy="dynamic", intensity=1)))
        await end(system, "/sup/a")
        assert await life(system, "/sup/a") == 2
        await gives_up(system, "/sup/a")


# -- significance ---------------------------------------------------------------------------------------


def significant(id: str) -> Any:
    return kid(id, restart="transient", significant=True)


def under_top(auto_shutdown: Any, *children: Any) -> Any:
    return top(sup(*children, auto_shutdown=auto_shutdown, restart="transient"))


async def change(system: ActorSystem, auto_shutdown: Any, *children: Any) -> None:
    spec = sup(*children, auto_shutdown=auto_shutdown, restart="transient")
    await ask(system, "/top/sup", Reconfigure(spec=spec))
    await system.idle()


async def start(system: ActorSystem, *ids: str) -> None:
    for one in ids:
        await ask(system, "/top/sup", StartChild(spec=significant(one)))


async def _upgrade_from_never(memory: MemoryGround, mode: Any, *, one_is_enough: bool) -> None:
    async with memory.node(under_top("never")) as system:
        with pytest.raises(ConfigError):
            await start(system, "a")
        await change(system, mode)
        await start(system, "a", "b")
        await end(system, "/top/sup/a", "normal")
        if not one_is_enough:
            assert await which(system, "/top/sup") == [("b", "running"), ("a", "stopped")]
            await end(system, "/top/sup/b", "normal")
        assert await which(system, "/top") == [("sup", "stopped")]


async def _upgrade_to_never(memory: MemoryGround, mode: Any) -> None:
    """A child that is significant already stays so in vain; no further one comes."""
    async with memory.node(under_top(mode)) as system:
        await start(system, "a")
        await change(system, "never")
        assert await which(system, "/top/sup") == running("a")
        with pytest.raises(ConfigError):
            await start(system, "b")
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top/sup") == [("a", "stopped")]
        await ask(system, "/top/sup", RestartChild(id="a"))
        assert await life(system, "/top/sup/a") == 2
        await ask(system, "/top", TerminateChild(id="sup"))


async def test_significant_upgrade_never_any(memory: MemoryGround) -> None:
    await _upgrade_from_never(memory, "any_significant", one_is_enough=True)


async def test_significant_upgrade_never_all(memory: MemoryGround) -> None:
    await _upgrade_from_never(memory, "all_significant", one_is_enough=False)


async def test_significant_upgrade_any_never(memory: MemoryGround) -> None:
    await _upgrade_to_never(memory, "any_significant")


async def test_significant_upgrade_all_never(memory: MemoryGround) -> None:
    await _upgrade_to_never(memory, "all_significant")


async def test_significant_upgrade_any_all(memory: MemoryGround) -> None:
    async with memory.node(under_top("any_significant")) as system:
        await start(system, "a", "b")
        await change(system, "all_significant")
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top/sup") == [("b", "running"), ("a", "stopped")]
        await end(system, "/top/sup/b", "normal")
        assert await which(system, "/top") == [("sup", "stopped")]


async def test_significant_upgrade_all_any(memory: MemoryGround) -> None:
    async with memory.node(under_top("all_significant")) as system:
        await start(system, "a", "b")
        await change(system, "any_significant")
        assert await which(system, "/top/sup") == running("b", "a")
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top") == [("sup", "stopped")]


async def test_significant_upgrade_child(memory: MemoryGround) -> None:
    """From insignificant to significant and back, while it runs."""
    plain = kid("a", restart="transient")
    async with memory.node(under_top("never", plain)) as system:
        with pytest.raises(ConfigError):
            await change(system, "never", significant("a"))
        assert await which(system, "/top/sup") == running("a")
    async with MemoryGround().node(under_top("any_significant", plain)) as system:
        await change(system, "any_significant", significant("a"))
        assert await which(system, "/top/sup") == running("a")
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top") == [("sup", "stopped")]
    async with MemoryGround().node(under_top("any_significant", significant("a"))) as system:
        await change(system, "any_significant", plain)
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top/sup") == [("a", "stopped")]
