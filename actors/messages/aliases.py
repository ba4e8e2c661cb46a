"""Aliases: the names that renamed actor and message classes have in older rows."""

from __future__ import annotations

import msgspec

__all__ = ("Aliases",)


class Aliases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Old names to new ones: `Settings(aliases=Aliases(actors={"bank:Konto": "bank:Account"}))`, or `[aliases]`.

    `start` checks them, and follows aliases that lead to other aliases, so that those of a running system lead straight
    to the names of now.
    """

    actors: dict[str, str] = {}
    """Actor classes: from the name in old rows ("module:Class", or the class's `name`) to the name of now."""
    messages: dict[str, str] = {}
    """Message classes: from the stored tag to the tag of now."""
