"""Where the messages of a program are after it, and which values its actors have: looked up past the doors."""

from __future__ import annotations

from typing import Any

from grounds import Ground
from odd_actors import Guilty, Innocent
from odd_messages import Told
from odd_script import FORBIDDEN, Script
from odd_steps import STATIC
from odd_values import FIELDS, GOOD, VALUES, alike

from greenroom import ActorSystem, WhichChildren
from greenroom.actors.kernel.cell import PASSIVE, STOPPED, UP
from greenroom.persistence.store.rows import InboxRow, KeyRow, MessageRow, MonitorRow, ReplyRow, TimerRow

__all__ = ("changed_values", "handled", "number_of", "slipped", "statuses", "waiting_numbers")


def handled(system: ActorSystem) -> list[int]:
    """The numbers of the messages that are handled, each as often as it was."""
    found = list(Script.done)
    for cell in system.kernel.cells.values():
        if cell.durable and issubclass(cell.definition.cls, Guilty | Innocent):
            if cell.incarnation is not None:
                found += cell.incarnation.actor.state.numbers
            elif cell.state.last is not None:
                found += numbers_in(cell.state.last.decode())
    return found


def numbers_in(state: str) -> list[int]:
    inside = state.split("[")[1].split("]")[0]
    return [int(part) for part in inside.split(",") if part]


def number_of(body: str) -> int:
    return int(body.split('"number":')[1].split(",")[0].rstrip("}"))


def waiting_numbers(ground: Ground, system: ActorSystem) -> set[int]:
    found = {number_of(row.body) for row in ground.rows(MessageRow)}
    for cell in system.kernel.cells.values():
        for entry in cell.mailbox.entries():
            message = getattr(entry, "message", entry)
            if isinstance(message, Told):
                found.add(message.number)
    return found


def slipped(ground: Ground, system: ActorSystem, numbers: set[int]) -> list[Any]:
    """What refused calls have left behind.

    Args:
        numbers: of the messages that are anywhere.
    """
    found: list[Any] = [number for number in numbers if number >= FORBIDDEN]
    for kind in (TimerRow, MonitorRow, InboxRow, ReplyRow):
        found += ground.rows(kind)
    found += [row for row in ground.rows(KeyRow) if row.key == "forbidden"]
    return found + system.group("g").members()


def changed_values(system: ActorSystem) -> list[Any]:
    """The values in messages and in states that aren't what was sent, or kept."""
    pairs = [(name, value) for name, value in Script.came.values()]
    for cell in system.kernel.cells.values():
        if cell.durable and cell.incarnation is not None and issubclass(cell.definition.cls, Guilty):
            kept = cell.incarnation.actor.state.kept
            pairs += [(name, getattr(kept, field)) for field, name in kept.names.items()]
            pairs += [("nothing", getattr(kept, field)) for field in FIELDS if field not in kept.names]
    return [(name, value) for name, value in pairs if name not in GOOD or not alike(VALUES[name].value, value)]


async def statuses(system: ActorSystem) -> list[tuple[str, str]]:
    """What is wrong with actors. With the address of one that is stopped, as its supervisor says, perhaps by right."""
    found = []
    for cell in system.kernel.cells.values():
        if cell.status not in (UP, PASSIVE, STOPPED):
            found.append((f"{cell} at rest", ""))
        if cell.turn is not None or cell.leaving is not None:
            found.append((f"{cell} is in a turn, or leaves, at rest", ""))
    for address in ("/t", "/t/group", "/t/pool"):
        shown = {info.address: info.status for info in await system.ref(address).ask(WhichChildren())}
        for child, status in shown.items():
            is_up = system.kernel.cells[child].status is UP
            if is_up != (status == "running"):
                found.append((f"{address} says that {child} is {status}", ""))
            if not is_up and child in STATIC:
                found.append((f"{child} is {system.kernel.cells[child].status}, shown as {status}", child))
    return found
