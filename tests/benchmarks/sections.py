"""Sections of the report: which measures each needs, and the rows that come of their figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import environments
from measures import CLIENTS, LOADS, TELLERS, Scale
from rows import Goals, Medians, Row
from scaling import Growth

__all__ = ("SECTIONS", "Section", "series")

GROUP, PLAIN = "group commit by hand", "plain sqlite3, insert and delete by 64"
LINEAR = 1.1
"""The highest power of a cost that is still called linear."""

Rows = Callable[[Medians, Goals, Scale], list[Row]]


class Section(NamedTuple):
    name: str
    """For `--only`."""
    title: str
    """Of the table; sections of the same title share one."""
    measures: tuple[str, ...]
    rows: Rows
    option: str = ""
    """The flag that adds it; without one it is always there."""


def _tellers(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    what = f"{TELLERS} awaiting tellers → 100 durable actors"
    return [
        goals.at_least(0.6, what, "msg/s", GROUP, m["group"], m["tellers"]),
        goals.information("the same", "msg/s", PLAIN, m["plain"], m["tellers"]),
    ]


def _bulk(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    return [goals.rate(120_000, "told in bulk", GROUP, m["group"], m["bulk"])]


def _spread(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    what = "told in turns, 100 messages a turn"
    return [
        goals.rate(120_000, what, GROUP, m["group"], m["spread"]),
        goals.information("the same", "msg/s", PLAIN, m["plain"], m["spread"]),
    ]


def _ring(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    return [goals.rate(100_000, "ring of 100 durable actors", GROUP, m["group"], m["ring"], "hops/s")]


def _single(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    return [
        goals.at_most(1.5, "one awaited tell, p50", "µs", "bare BEGIN, INSERT, COMMIT", m["bare commit"], m["single"])
    ]


def _path(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    """Each step of a message's way, and the whole of it."""
    parts = {"told": "told, the whole", "handled": "handled and written, the whole, per message", "written": ""}
    rows = []
    for part, whole in parts.items():
        steps = {key.partition(": ")[2]: value for key, value in m.items() if key.startswith(f"{part}: ")}
        rows += [goals.information(f"{part}: {name}", "µs", "", None, value) for name, value in steps.items()]
        if whole:
            rows.append(goals.information(f"**{whole}**", "µs", "", None, m[f"whole: {whole.partition(', ')[0]}"]))
    return rows


def _memory(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    return [
        goals.rate(800_000, "tell", "deque and future", m["bare tell"], m["memory tell"]),
        goals.rate(100_000, "ask", "deque and future", m["bare ask"], m["memory ask"]),
    ]


def _restarts(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    floor = m["restart by hand"]
    return [
        goals.within(40, "restart in memory, p50", "µs", "a task by hand", floor, m["memory restart"]),
        goals.within(60, "restart, durable with state, p50", "µs", "a task by hand", floor, m["durable restart"]),
    ]


def _children(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    few, many = (f"{count:,} children" for count in (scale.children // 10, scale.children))
    return [goals.at_most(12, f"start and stop {many}", "ms", few, m["few children"], m["many children"])]


def _clients(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    commit_ms = m["bare commit"] / 1e3
    several = f"{CLIENTS} clients at once"
    return [
        goals.within(20, "ask, p50", "ms", "", None, m["client ask p50"]),
        goals.information("ask, p99", "ms", "", None, m["client ask p99"]),
        goals.information("tell, p50", "ms", "bare BEGIN, INSERT, COMMIT", commit_ms, m["client tell p50"]),
        goals.within(20, f"ask, p50, {several}", "ms", "one client", m["client ask p50"], m["clients ask p50"]),
        goals.information(f"ask, p99, {several}", "ms", "one client", m["client ask p99"], m["clients ask p99"]),
        goals.information(f"tell, p50, {several}", "ms", "one client", m["client tell p50"], m["clients tell p50"]),
    ]


def _convoy(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    rows = []
    for path, how in (("loop", ""), ("thread", ", commits in the thread"), ("by hand", ", by hand")):
        idle = m[path]
        for name, load in LOADS.items():
            if not name or (path == "by hand" and load.one_turn):
                continue
            rate, share = m[f"{path} {name}"], m[f"{path} {name} share"]
            often = f"in {load.share:.0%} of the time" if load.share < 1 else "without end"
            often += " in one turn" if load.one_turn else ""
            what = f"beside bursts of {load.burst_s * 1e3:g} ms {often}{how}"
            note = f"burner {share:.0%}; of what it leaves {rate / idle / (1 - share):.2f}"
            if path == "by hand":
                rows.append(goals.information(what, "msg/s", "no burner", idle, rate, note))
            else:
                rows.append(goals.at_least(0.5, what, "msg/s", "no burner", idle, rate, note))
    return rows


def _peer_actors(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    return [
        goals.at_least(1.5, what, "msg/s", peer.name, theirs, m[f"memory {what}"])
        for peer in environments.MEMORY
        for what in ("tell", "ask")
        if (theirs := m.get(f"{peer.package} {what}")) is not None
    ]


def _peer_queues(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    ways = {"one": "one producer that awaits each", "batch": f"{TELLERS} at a time"}
    return [
        goals.at_least(1, what, "msg/s", peer.name, theirs, m[f"queue {way}"])
        for peer in environments.QUEUES
        for way, what in ways.items()
        if (theirs := m.get(f"{peer.package} {way}")) is not None
    ]


def series(m: Medians, name: str) -> dict[int, float]:
    """The points of a curve: seconds by size."""
    return {int(key.partition("/")[2]): value for key, value in m.items() if key.startswith(f"{name}/")}


def _growth(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    """Of what all of them cost together, against their number; of what one costs, against its size."""
    rows = []
    for name, what, floor_name, floor, total in (
        ("messages", "messages told in bulk", "plain sqlite3", "messages by hand", True),
        ("actors", "actors, each told in turn", "", "", True),
        ("starts", "actors, start and stop", "", "", True),
        ("bodies", "bytes of a body", "plain sqlite3", "bodies by hand", False),
        ("states", "bytes of a state", "encode and decode", "states by hand", False),
    ):
        points = series(m, name)
        if len(points) < 2:
            continue
        found, by_hand = Growth.of(points), Growth.of(series(m, floor)) if floor else None
        more = 1.0 if total else 0.0  # the total cost has the number itself as a factor
        sizes = f"{min(points):,} … {max(points):,} {what}"
        theirs = None if by_hand is None else by_hand.fit + more
        rows.append(goals.exponent(LINEAR, sizes, floor_name, theirs, found.fit + more, found.top + more))
    return rows


def _backlog(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    waiting = f"{10 * scale.messages:,} messages wait"
    return [
        goals.within(2, f"{waiting}: start to first handled", "s", "", None, m["backlog start to first s"]),
        goals.information("memory once it is up", "MB", "", None, m["backlog up MB"]),
        goals.limit(300, "memory at the peak", "MB", m["backlog peak MB"]),
        goals.rate(40_000, "drained", PLAIN, m["plain"], m["backlog drain msg/s"]),
        goals.at_least(
            0.7, f"{TELLERS} tellers to others meanwhile", "msg/s", "no backlog", m["blocked alone msg/s"],
            m["blocked beside msg/s"],
        ),
    ]  # fmt: skip


def _footprint(m: Medians, goals: Goals, scale: Scale) -> list[Row]:
    return [
        goals.limit(2_500, "a durable actor that is active and idle", "bytes", m["active B"]),
        goals.limit(100, "one that has come and gone", "bytes", m["passivated B"]),
    ]


DURABLE, MEMORY, TREE = "Durable messages", "In memory", "Supervision"

SECTIONS = (
    Section("tellers", DURABLE, ("group commit by hand", "plain sqlite3", "64 tellers, 100 durable actors"), _tellers),
    Section("bulk", DURABLE, ("group commit by hand", "bulk"), _bulk),
    Section("turns", DURABLE, ("group commit by hand", "plain sqlite3", "told in turns"), _spread),
    Section("ring", DURABLE, ("group commit by hand", "ring of 100 durable actors"), _ring),
    Section("single", DURABLE, ("bare commit", "single awaited tell"), _single),
    Section("path", "What each microsecond of a durable message pays for", ("steps of a message",), _path),
    Section("memory", MEMORY, ("in memory",), _memory),
    Section("restarts", TREE, ("restarts",), _restarts),
    Section("children", TREE, ("many children",), _children),
    Section("clients", "`Client` in other processes", ("bare commit", "clients"), _clients),
    Section(
        "convoy",
        f"{TELLERS} awaiting tellers beside a handler that burns CPU",
        ("convoy, commits on the loop", "convoy, commits in a thread", "convoy, by hand"),
        _convoy,
    ),
    Section(
        "peer-actors",
        "Peers: actors in memory",
        ("in memory", *(peer.name for peer in environments.MEMORY)),
        _peer_actors,
        "peers",
    ),
    Section(
        "peer-queues",
        "Peers: durable queues on SQLite, end to end",
        ("as a queue", *(peer.name for peer in environments.QUEUES)),
        _peer_queues,
        "peers",
    ),
    Section(
        "plots",
        "Growth of costs",
        ("cost by messages", "cost by actors", "cost by bodies", "cost by states"),
        _growth,
        "plots",
    ),
    Section(
        "backlog", "A large backlog", ("plain sqlite3", "backlog", "beside a blocked backlog"), _backlog, "backlog"
    ),
    Section("footprint", "Memory of actors", ("memory of actors",), _footprint, "backlog"),
)
