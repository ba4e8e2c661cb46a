"""Log: a node's events, one line each, through loguru."""

from __future__ import annotations

from typing import Any

from loguru import logger

from ...persistence.events import Event
from ..printable import printable

__all__ = ("log_event",)

_TEXT_MAX = 300

# Event name to level and text. The runtime itself logs the others where they happen (node.broken, node.recovered,
# node.gave_up, supervisor.gave_up, message.orphaned).
_LINES: dict[str, tuple[str, str]] = {
    "node.started": (
        "INFO",
        "{address} is up: boot {boot}, {pending} messages pending, {suspects} suspects of a crash",
    ),
    "recovery.started": (
        "WARNING",
        "the node died while it handled messages: {suspects} suspects are run again, {alone} of them alone",
    ),
    "recovery.ended": (
        "INFO",
        "no suspects are left of {suspects} after {took_s:.1f} s: {charged} charged, {forgotten} didn't come back",
    ),
    "clock.jumped": (
        "WARNING",
        "the wall clock was set by {by_s:+g} s: delays and intervals go on, times of day are those of the new clock",
    ),
    "node.stopped": ("INFO", "{address} has stopped"),
    "actor.started": ("TRACE", "{address} started, incarnation {incarnation}"),
    "actor.exited": ("WARNING", "{address} exited: {reason}"),
    "actor.start_failed": ("WARNING", "{address} didn't start: {reason}"),
    "actor.stop_failed": ("WARNING", "{address} failed while it stopped: {reason}"),
    "actor.abandoned": (
        "WARNING",
        "{address} didn't end {after_s:g} s after its cancellation and was abandoned, incarnation {incarnation}",
    ),
    "actor.passivated": ("TRACE", "{address} left memory"),
    "actor.retired": ("INFO", "{address} retired"),
    "message.failed": (
        "WARNING",
        "{type} to {address} failed, attempt {attempt}: {reason}; again in {retry_s:.1f} s",
    ),
    "message.parked": ("ERROR", "{type} to {address} is a dead letter now ({cause}, {attempts} attempts): {reason}"),
    "task.restarting": ("WARNING", "the task {task_name} of {address} failed: {reason}; again in {retry_s:g} s"),
    "task.failed": ("ERROR", "the task {task_name} of {address} failed after {restarts} restarts: {reason}"),
    "task.abandoned": ("WARNING", "the task {task_name} of {address} swallowed its cancellation and was abandoned"),
    "store.wal_large": (
        "WARNING",
        "the store's WAL has {bytes} bytes and can't begin anew, because these read all the time: {held_by}",
    ),
    "store.commits_lost": (
        "ERROR",
        "commits are missing that were acknowledged: {missing}. The node goes on without them",
    ),
    "store.row_damaged": ("ERROR", "{text}: {effect}"),
    "store.dead_letters_deleted": ("WARNING", "{count} old dead letters were deleted: {limit}"),
    "supervisor.restarting": ("WARNING", "{address} restarts {child} ({strategy}, {children} children)"),
}


def log_event(event: Event) -> None:
    """A subscriber of a node's events."""
    line = _LINES.get(event.name)
    if line is None:
        return
    level, text = line
    measures = event.measures
    if event.name == "actor.exited" and measures.get("kind") != "error":
        level = "DEBUG"
    if event.name == "task.failed" and measures.get("awaited"):
        level = "DEBUG"  # the caller that waits for the task has the error
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in measures.items()}
    address = printable(event.address)
    logger.log(level, text.format(address=address, reason=_reason(shown), **shown))
    if shown.get("traceback"):
        logger.debug("{}\n{}", address, shown["traceback"].rstrip())


def _reason(measures: dict[str, Any]) -> str:
    """In one line."""
    text = ": ".join(str(part) for part in (measures.get("error"), measures.get("text")) if part)
    first, _, rest = (text or str(measures.get("kind", ""))).partition("\n")
    return f"{first[:_TEXT_MAX]}…" if rest or len(first) > _TEXT_MAX else first
