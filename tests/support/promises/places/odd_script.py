"""The script: what user code does at which place; and what it did."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from odd_acts import Act, kept

from greenroom import ActorSystem

__all__ = ("FORBIDDEN", "Script")

FORBIDDEN = 1_000_000
"""Messages of a call that must be refused have numbers from here on."""


class Script:
    """What is done at which place of which actor; and what was."""

    hooks: defaultdict[str, list[Act]] = defaultdict(list)
    """By "<id> <hook>": the acts of the next so many times."""
    failed: Counter[str] = Counter()
    """How often a hook has failed, by its name."""
    stopped: set[str] = set()
    """The addresses whose `on_stop` has begun."""
    bombs: list[type[BaseException]] = []
    """Raised by the next state that is decoded."""
    done: list[int] = []
    """The numbers of messages whose handlers have returned, where no state outlives a restart."""
    system: ActorSystem | None = None
    """The node, for calls from anywhere; None while it boots."""
    threads: list[Future[Any]] = []
    """One for each thread that was begun."""
    wrong: list[str] = []
    """Calls that should have been refused and weren't, or not by the right error."""
    came: dict[int, tuple[str, Any]] = {}
    """By number: the name of the value that a handled message has carried, and the value."""
    forbidden = FORBIDDEN

    loop: asyncio.AbstractEventLoop | None = None
    """The loop of the program."""

    @classmethod
    def note(cls, wrong: str) -> None:
        """Note a call that went wrong, from any thread. It ends the program, because the node may be broken by it."""
        cls.wrong.append(wrong)
        if cls.loop is not None:
            with suppress(RuntimeError):  # it is closed: the program has ended
                cls.loop.call_soon_threadsafe(cls.loop.stop)

    @classmethod
    def forbid(cls) -> int:
        """The number for a message that must be refused."""
        cls.forbidden += 1
        return cls.forbidden

    @classmethod
    def reset(cls) -> None:
        cls.hooks.clear()
        cls.failed.clear()
        cls.stopped.clear()
        cls.bombs.clear()
        cls.done.clear()
        cls.system = None
        cls.threads.clear()
        cls.wrong.clear()
        cls.loop = asyncio.get_running_loop()
        cls.came.clear()
        cls.forbidden = FORBIDDEN
        kept.clear()

    @classmethod
    def take(cls, place: str, hook: str) -> Act | None:
        acts = cls.hooks.get(f"{place} {hook}")
        if not acts:
            return None
        act = acts.pop(0)
        cls.failed[hook] += act.fails
        return act
