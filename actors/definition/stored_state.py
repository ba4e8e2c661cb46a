"""Stored state: from a row to the state that the class at hand can take. Name and version are checked, and the state is
upgraded if need be.

A node does this when an actor starts; `greenroom check --against` does it before anything starts.
Nothing is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..messages.difference import Difference, first_difference
from ..messages.errors import StateError
from ..messages.message import ENCODER
from ..messages.types import shown
from .versions import split_type

if TYPE_CHECKING:
    from ...persistence.store.rows import ActorRow
    from .decoding import Receiver
    from .definition import Definition

__all__ = ("UNFIT", "Stored", "decode_state", "read_stored")

UNFIT = "Give new fields a default; or raise state_version and write an `upgrade` that makes the new shape"


class Stored(NamedTuple):
    """The content of a row, for the class at hand."""

    state: bytes
    """The state, upgraded if the row has an older version than the class writes."""
    outdated: bool
    """Whether the row has another name or version than the class writes."""


def read_stored(receiver: Receiver, row: ActorRow) -> Stored:
    """The state of a (verified) row. A state of the class's own version isn't decoded here.

    Raises:
        StateError: it is another class's, of a version to come, or can't be upgraded.
    """
    definition = receiver.definition
    if row.type == definition.stored_type:
        return Stored(row.state.encode(), False)
    name, version = split_type(row.type)
    if name != definition.name and receiver.aliases.actors.get(name) not in (definition.name, definition.path):
        raise StateError(
            receiver.address,
            f"it is stored as {name!r}, and the tree says {definition.name!r}",
            f'If the class was renamed, write "{name}" = "{definition.name}" under [aliases.actors], or give it '
            f"name = {name!r}. Else delete what is stored: greenroom actors retire {receiver.address}",
        )
    if version > definition.state_version:
        raise StateError(
            receiver.address,
            f"it was written by newer code: its version is {version}, and {definition.cls.__qualname__} has "
            f"state_version = {definition.state_version}",
            "Run that code again, or go back to a copy of the store from before it",
        )
    state = row.state.encode()
    if definition.state_type is not None:
        if version < definition.state_version and definition.upgrades:
            state = _upgraded(receiver.address, definition, state, version)
        found = decode_state(receiver.address, definition, state, "what is stored doesn't fit its type", UNFIT)
        state = ENCODER.encode(found)
    return Stored(state, True)


def decode_state(address: str, definition: Definition, state: bytes, what: str, fix: str = "") -> Any:
    """
    Raises:
        StateError: `what`, and why.
    """
    decoder = definition.state_decoder
    assert decoder is not None
    try:
        return decoder.decode(state)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise StateError(address, f"{what}: {error}", fix) from error


def _upgraded(address: str, definition: Definition, state: bytes, version: int) -> bytes:
    """The state that the class's `upgrade` makes of an old one, as JSON that is read as strictly as any row."""
    where = f"{definition.cls.__qualname__}.upgrade"
    try:
        data = msgspec.json.decode(state)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise StateError(address, f"what is stored is no JSON: {error}", "Restore a backup") from error
    try:
        upgraded: Any = definition.cls.upgrade(data, version)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise StateError(
            address,
            f"{where} raised for a state of version {version}: {type(error).__name__}: {error}",
            f"The stored state was left as it is. Mend {where}",
        ) from error
    try:
        encoded = ENCODER.encode(upgraded)
        assert definition.state_decoder is not None
        back = definition.state_decoder.decode(encoded)
        if (difference := _changed(definition, upgraded, back)) is not None:
            raise ValueError(f"{difference}. {difference.remedy}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise StateError(
            address,
            f"what {where} made of a state of version {version} is no {shown(definition.state_type)}: {error}",
            f"It returned {shown(type(upgraded))}; let it return the current shape, as plain data or an instance. "
            "The stored state was left as it is",
        ) from error
    return encoded


def _changed(definition: Definition, upgraded: Any, back: Any) -> Difference | None:
    """The first place in which the JSON of an upgraded state says something else than `upgrade` did."""
    try:
        meant = msgspec.convert(upgraded, definition.state_type, from_attributes=True)
    except Exception:  # plain data in a form that only JSON turns into the type
        return None
    return first_difference(meant, back, "state")
