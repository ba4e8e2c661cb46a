"""Suspects: what a boot concludes from the notes that the last life left (docs/semantics/recovery.md).

Suspects run again beside one another. If the process dies meanwhile, only half as many of those that were being handled
run at once in the next life, so that the guilty one is cornered: it is the only suspect that is being handled when the
process dies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...persistence.store.attempts import NOBODY, Started

__all__ = ("FREE_DEATHS", "judge")

FREE_DEATHS: Final = 5
"""The number of deaths in a row that a message is charged nothing for, while its handler merely waited. Somebody may
have killed the process from outside."""
FREE_DEATHS_BUSY: Final = 2 * FREE_DEATHS
"""The same, where the code of another message was on the event loop at the last of them."""
LIMIT_MAX: Final = 0xFFFF


def judge(left: Iterable[Started]) -> list[Started]:
    """The list of suspects after a death, in the order in which they run.

    Args:
        left: the notes and the list that the last life left.
    """
    noted: dict[str, Started] = {}
    listed: dict[str, Started] = {}
    due: dict[str, Started] = {}
    running = hung = False
    for one in left:
        running = running or one.verdict == "running"
        hung = hung or (one.verdict == "hang" and not one.deaths)  # on the list: of an earlier death
        if one.verdict in ("crash", "hang"):
            due[one.uid] = one
        elif one.verdict == "suspect":
            listed[one.uid] = one
        else:
            noted[one.uid] = one
    for uid, one in due.items():
        listed[uid] = listed.get(uid, one)._replace(verdict=one.verdict)
    found = dict(listed)
    if not hung:  # the watchdog's word says nothing about others
        rivals = sum(uid in listed for uid in noted)
        for uid, one in noted.items():
            if uid != NOBODY and uid not in due:
                found[uid] = _concluded(one, listed.get(uid), rivals, len(noted), busy=running)
    return sorted(found.values(), key=lambda one: one.rank)


def _concluded(one: Started, before: Started | None, rivals: int, noted: int, *, busy: bool) -> Started:
    """The conclusion about one message that was being handled.

    Args:
        before: what the list says of it; None if it wasn't a suspect.
        rivals: the number of suspects that were being handled, this one included.
        noted: the number of all messages that were being handled.
        busy: whether the code of any handler was on the event loop.
    """
    if before is None:
        cornered = one.verdict == "running" or noted == 1
        return one._replace(verdict="suspect", limit=int(cornered), deaths=1)
    suspect = before._replace(deaths=before.deaths + 1)
    if one.verdict == "running":
        charged = before.limit == 1 or noted == 1
        return suspect._replace(verdict="crash" if charged else "suspect", limit=1)
    if busy and not before.spared:
        return before._replace(spared=True)
    if before.limit == 1 and rivals == 1 and suspect.deaths > (FREE_DEATHS_BUSY if busy else FREE_DEATHS):
        return suspect._replace(verdict="crash")
    most = min(before.limit or rivals, rivals, LIMIT_MAX)
    return suspect._replace(limit=max(1, -(-most // 2)))
