"""Measures, by name. A measure runs in a fresh folder and gives figures, each under a name of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import clients
import convoy
import environments
import floors
import ours
import restarts
import scaling
from convoy import Load

__all__ = ("LOADS", "MEASURES", "Figures", "Measure", "Scale")

TELLERS = 64
ACTORS = 100
CLIENTS = 4

Figures = dict[str, float]

LOADS = {
    "": Load(),
    "third": Load(0.002, 1 / 3),
    "short": Load(0.001),
    "long": Load(0.005),
    "waits": Load(0.002, one_turn=True),
}
"""Burners of the convoy: bursts of 2 ms that come to a third of the time; without end, of 1 ms; of 5 ms; of 2 ms with
an await between any two."""


class Scale(NamedTuple):
    """How much of everything, by the number of durable messages."""

    messages: int

    @property
    def seconds(self) -> float:
        """Of a measure that takes as long as it is given."""
        return max(self.messages / 100_000 * 1.5, 0.05)

    @property
    def children(self) -> int:
        return max(self.messages // 10, 100)

    @property
    def peer_messages(self) -> int:
        """Durable queues sync the disk two or three times for each."""
        return max(self.messages // 50, 64)

    @property
    def client_asks(self) -> int:
        return max(self.messages // 500, 10)

    @property
    def bytes_max(self) -> int:
        """Of a body, or a state."""
        return min(10 * self.messages, 1_000_000)

    def sizes(self, smallest: int, largest: int, steps: tuple[int, ...] = (1,)) -> list[int]:
        """From the smallest to the largest, so many a decade."""
        found, decade = [], smallest
        while decade <= largest:
            found += [decade * step for step in steps if decade * step <= largest]
            decade *= 10
        return found

    def count(self, size: int) -> int:
        """Messages of so many bytes that are measured: fewer of the larger."""
        return min(max(self.messages * 640 // size, 8), self.messages // 10)


class Measure(NamedTuple):
    run: Callable[[Path, Scale], Figures]
    once: bool = False
    """In the first round only: it has rounds of its own, or takes long."""


def _plain(folder: Path, scale: Scale) -> Figures:
    return {"plain": floors.plain_sqlite(folder, scale.messages)}


def _group(folder: Path, scale: Scale) -> Figures:
    """The better of two ways to write it."""
    by_row = asyncio.run(floors.group_commit(folder, scale.messages, TELLERS))
    return {"group": max(by_row, asyncio.run(floors.batched_commit(folder, scale.messages, TELLERS)))}


def _bare_commit(folder: Path, scale: Scale) -> Figures:
    return {"bare commit": floors.bare_commit_us(folder)}


def _bare_actor(folder: Path, scale: Scale) -> Figures:
    tell, ask = asyncio.run(floors.bare_actor(2 * scale.messages, scale.messages // 5))
    return {"bare tell": tell, "bare ask": ask}


def _tellers(folder: Path, scale: Scale) -> Figures:
    rate, commits = asyncio.run(ours.tellers(folder, scale.messages, TELLERS, ACTORS))
    return {"tellers": rate, "commits": commits}


def _bulk(folder: Path, scale: Scale) -> Figures:
    return {"bulk": asyncio.run(ours.bulk(folder, scale.messages, ACTORS))}


def _spread(folder: Path, scale: Scale) -> Figures:
    return {"spread": asyncio.run(ours.spread(folder, scale.messages, ACTORS))}


def _ring(folder: Path, scale: Scale) -> Figures:
    return {"ring": asyncio.run(ours.ring(folder, scale.messages // 2, ACTORS))}


def _single(folder: Path, scale: Scale) -> Figures:
    return {"single": asyncio.run(ours.single_tell_us(folder))}


def _in_memory(folder: Path, scale: Scale) -> Figures:
    tell, ask = asyncio.run(ours.in_memory(2 * scale.messages, scale.messages // 5))
    return {"memory tell": tell, "memory ask": ask}


def _restarts(folder: Path, scale: Scale) -> Figures:
    rounds = max(scale.messages // 100, 10)
    store = f"sqlite:///{folder / 'restart.db'}"
    return {
        "restart by hand": asyncio.run(restarts.by_hand_us(rounds)),
        "memory restart": asyncio.run(restarts.restart_us(restarts.FallsInMemory, "memory://", rounds)),
        "durable restart": asyncio.run(restarts.restart_us(restarts.Falls, store, rounds)),
    }


def _children(folder: Path, scale: Scale) -> Figures:
    few, many = (asyncio.run(restarts.many_children_s(count)) for count in (scale.children // 10, scale.children))
    return {"few children": few * 1e3, "many children": many * 1e3}


def _clients(folder: Path, scale: Scale) -> Figures:
    one, several = (
        asyncio.run(clients.latencies(folder, count, scale.client_asks, scale.client_asks)) for count in (1, CLIENTS)
    )
    return {
        "client ask p50": one.ask_p50_ms,
        "client ask p99": one.ask_p99_ms,
        "client tell p50": one.tell_p50_ms,
        "clients ask p50": several.ask_p50_ms,
        "clients ask p99": several.ask_p99_ms,
        "clients tell p50": several.tell_p50_ms,
        "clients asks": several.asks_per_s,
    }


def _convoy(path: str) -> Measure:
    """64 tellers beside each burner, by one path of the commits."""

    def run(folder: Path, scale: Scale) -> Figures:
        figures = {}
        for name, load in LOADS.items():
            place = folder / f"{path}{name}"
            if path == "by hand" and load.one_turn:
                continue  # its other bursts are made so, too
            if path == "by hand":
                found = asyncio.run(convoy.beside_by_hand(place, load, scale.seconds, TELLERS))
            else:
                in_thread = path == "thread"
                found = asyncio.run(convoy.beside(place, load, scale.seconds, in_thread=in_thread, count=TELLERS))
            figures[f"{path} {name}".strip()] = found.rate
            if name:
                figures[f"{path} {name} share"] = found.share
        return figures

    return Measure(run)


def _as_a_queue(folder: Path, scale: Scale) -> Figures:
    """Ours as the queues of the peers are measured: one teller that awaits each receipt, and 64 of them."""
    (folder / "one").mkdir()
    one, _ = asyncio.run(ours.tellers(folder / "one", scale.peer_messages, 1, ACTORS))
    many, _ = asyncio.run(ours.tellers(folder, scale.peer_messages // TELLERS * TELLERS, TELLERS, ACTORS))
    return {"queue one": one, "queue batch": many}


def _peer(peer: environments.Peer) -> Measure:
    def run(folder: Path, scale: Scale) -> Figures:
        found = environments.run(
            peer, folder, tells=2 * scale.messages, asks=scale.messages // 5, messages=scale.peer_messages
        )
        return {f"{peer.package} {name}": rate for name, rate in found.items()}

    return Measure(run)


def _each(folder: Path, sizes: list[int], name: str, point: Callable[[Path, int], float]) -> Figures:
    """A point for each size, in folders of their own."""
    figures = {}
    for size in sizes:
        place = folder / f"{name}{size}"
        place.mkdir()
        figures[f"{name}/{size}"] = point(place, size)
    return figures


def _messages(folder: Path, scale: Scale) -> Figures:
    sizes = scale.sizes(1_000, 10 * scale.messages, (1, 3))
    by_hand = _each(folder, sizes, "messages by hand", scaling.messages_by_hand)
    return {**_each(folder, sizes, "messages", scaling.messages), **by_hand}


def _actors(folder: Path, scale: Scale) -> Figures:
    starts: Figures = {}

    def point(place: Path, count: int) -> float:
        tell_s, starts[f"starts/{count}"] = scaling.actors(place, count, scale.messages // 5)
        return tell_s

    return {**_each(folder, scale.sizes(10, scale.messages), "actors", point), **starts}


def _bodies(folder: Path, scale: Scale) -> Figures:
    sizes = scale.sizes(100, scale.bytes_max)
    return {
        **_each(folder, sizes, "bodies", lambda place, size: scaling.bodies(place, size, scale.count(size))),
        **_each(
            folder, sizes, "bodies by hand", lambda place, size: scaling.bodies_by_hand(place, size, scale.count(size))
        ),
    }


def _states(folder: Path, scale: Scale) -> Figures:
    sizes = scale.sizes(1_000, scale.bytes_max)
    return {
        **_each(folder, sizes, "states", lambda place, size: scaling.states(place, size, scale.count(size))),
        **_each(folder, sizes, "states by hand", lambda _, size: scaling.states_by_hand(size, scale.count(size))),
    }


def _backlog(folder: Path, scale: Scale) -> Figures:
    import backlog

    found = backlog.drained(folder, 10 * scale.messages)
    return {f"backlog {name}": value for name, value in found.items()}


def _beside_backlog(folder: Path, scale: Scale) -> Figures:
    import backlog

    found = backlog.disturbed(folder, 10 * scale.messages, scale.messages // 5)
    return {f"blocked {name}": value for name, value in found.items()}


def _steps(folder: Path, scale: Scale) -> Figures:
    import steps

    return asyncio.run(steps.steps_us(folder))


def _memory(folder: Path, scale: Scale) -> Figures:
    import memory

    actors = max(scale.messages // 5, 1_000)
    return {**memory.in_process("idle_actors", actors), **memory.in_process("passivated", actors)}


MEASURES: dict[str, Measure] = {
    "plain sqlite3": Measure(_plain),
    "group commit by hand": Measure(_group),
    "64 tellers, 100 durable actors": Measure(_tellers),
    "bulk": Measure(_bulk),
    "told in turns": Measure(_spread),
    "ring of 100 durable actors": Measure(_ring),
    "bare commit": Measure(_bare_commit),
    "single awaited tell": Measure(_single),
    "bare deque and future": Measure(_bare_actor),
    "in memory": Measure(_in_memory),
    "steps of a message": Measure(_steps, once=True),
    "restarts": Measure(_restarts),
    "many children": Measure(_children),
    "clients": Measure(_clients),
    "convoy, commits on the loop": _convoy("loop"),
    "convoy, commits in a thread": _convoy("thread"),
    "convoy, by hand": _convoy("by hand"),
    "as a queue": Measure(_as_a_queue),
    **{peer.name: _peer(peer) for peer in environments.PEERS},
    "cost by messages": Measure(_messages, once=True),
    "cost by actors": Measure(_actors, once=True),
    "cost by bodies": Measure(_bodies, once=True),
    "cost by states": Measure(_states, once=True),
    "backlog": Measure(_backlog, once=True),
    "beside a blocked backlog": Measure(_beside_backlog, once=True),
    "memory of actors": Measure(_memory, once=True),
}
"""In the order in which they run: a floor stands before what is measured against it."""
