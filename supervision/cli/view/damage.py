"""Damage: a listing shows a damaged row as it is, and says so."""

from __future__ import annotations

from typing import Any

from ....persistence.errors import RecordCorrupt
from ....persistence.store.checksums import verify
from ....persistence.store.rows import R

__all__ = ("checked",)


def checked(entry: dict[str, Any], row: R, **marks: Any) -> dict[str, Any]:
    """The entry of a listing. If its row is damaged, it has these marks too, and why (`damage`)."""
    try:
        verify(row)
    except RecordCorrupt as error:
        entry.update(marks, damage=str(error))
    return entry
