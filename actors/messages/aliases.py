"""Aliases: what actor classes and messages that were renamed are called in rows that are older than that."""

from __future__ import annotations

import msgspec

__all__ = ("Aliases",)


class Aliases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Old names to new ones: `Settings(aliases=Aliases(actors={"bank:Konto": "bank:Account"}))`, or `[aliases]`.

    `start` checks them, and follows those that lead to each other: what a running system has leads straight to what
    there is.
    """

    actors: dict[str, str] = {}
    """Of actor classes: what rows call them ("module:Class", or the class's `name`) to what they are called now."""
    messages: dict[str, str] = {}
    """Of message classes: the stored tag to the tag of now."""
