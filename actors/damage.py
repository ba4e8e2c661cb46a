"""Damage: what a node finds amiss in its store as it takes it up, and what it does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .system import ActorSystem

__all__ = ("report_loss",)


def report_loss(system: ActorSystem) -> None:
    """The store was opened, or opened again. What it lacks is said once."""
    store = system.store
    if store.loss:
        root = "/" if system.root is None else system.root.address
        system.events.emit("store.commits_lost", root, missing=store.loss)
        store.loss = ""
