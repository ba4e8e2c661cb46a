"""How the tests of the suite build trees, end children and look at supervisors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from otp_worker import Cues, End, How, Life, Watch, Watcher, Worker

from greenroom import (
    ActorSystem,
    AskFailed,
    ChildSpec,
    CountChildren,
    Request,
    SupervisorSpec,
    TreeGaveUp,
    WhichChildren,
)
from greenroom.supervision.spec.spec import Spec

__all__ = (
    "ask",
    "between_tries",
    "counts",
    "end",
    "gives_up",
    "kid",
    "kids",
    "life",
    "running",
    "sup",
    "top",
    "watch",
    "which",
)


def kid(id: str, **options: Any) -> ChildSpec:
    return ChildSpec(id=id, actor=Worker, **options)


def kids(*ids: str, **options: Any) -> list[ChildSpec]:
    return [kid(one, **options) for one in ids]


def sup(*children: Spec, id: str = "sup", **flags: Any) -> SupervisorSpec:
    """A strict supervisor with the flags that most tests of OTP's suite use."""
    return SupervisorSpec(id=id, children=children, **{"intensity": 2, "period_s": 3600.0, "strict": True, **flags})


def top(*children: Spec) -> SupervisorSpec:
    """A root that bears no restart, so that none goes by unseen; with somebody who watches, and is stopped last."""
    return sup(ChildSpec(id="watcher", actor=Watcher), *children, id="top", intensity=0)


async def watch(system: ActorSystem, *addresses: str) -> None:
    """Let `cues.downs` say how these end. For trees of `top`, which holds a watcher."""
    await ask(system, "/top/watcher", Watch(addresses=addresses))


async def ask(system: ActorSystem, address: str, request: Request[Any]) -> Any:
    return await system.ref(address).ask(request)


async def end(system: ActorSystem, address: str, how: How = "error") -> None:
    """End a child, and wait until its supervisor has done what it does then.

    Raises:
        TreeGaveUp: the root has given up over it.
    """
    if how == "error":
        with pytest.raises(AskFailed, match="died"):
            await ask(system, address, End(how=how))
    else:
        await ask(system, address, End(how=how))
    await system.idle()


async def gives_up(system: ActorSystem, address: str, how: How = "error") -> TreeGaveUp:
    """End a child, whose supervisor is the root and gives up over it: with `shutdown`."""
    with pytest.raises(TreeGaveUp) as caught:
        await end(system, address, how)
    assert system.ended.is_set()
    assert caught.value.reason.kind == "shutdown"  # type: ignore[attr-defined]
    return caught.value


async def life(system: ActorSystem, address: str) -> int:
    """The number of its incarnation; it stands for OTP's pid."""
    found: int = await ask(system, address, Life())
    return found


async def which(system: ActorSystem, address: str) -> list[tuple[str, str]]:
    """(id, status) of its children, last started first; of those of `top` without the watcher."""
    children = await ask(system, address, WhichChildren())
    return [(child.id, child.status) for child in children if child.id != "watcher"]


def running(*ids: str) -> list[tuple[str, str]]:
    return [(one, "running") for one in ids]


async def counts(system: ActorSystem, address: str) -> tuple[int, int, int, int]:
    """(specs, active, supervisors, workers), as OTP's suite writes them."""
    found = await ask(system, address, CountChildren())
    return (found.specs, found.active, found.supervisors, found.workers)


async def between_tries(system: ActorSystem, cues: Cues, child: str, request: Request[Any]) -> Any:
    """Ask the supervisor of a child that is held in its restart; the supervisor gets to it when that try has failed."""
    above, _, one = child.rpartition("/")
    asked = asyncio.ensure_future(ask(system, above, request))  # is in its mailbox before the try ends
    cues.let_go(one)
    return await asked
