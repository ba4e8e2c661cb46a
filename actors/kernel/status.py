"""The states of a cell (docs/semantics/cell.md)."""

from typing import Final

__all__ = ("DOWN", "GONE", "PASSIVE", "STARTING", "STOPPED", "STOPPING", "UP")

PASSIVE: Final = "passive"
STARTING: Final = "starting"
UP: Final = "up"
STOPPING: Final = "stopping"
DOWN: Final = "down"
STOPPED: Final = "stopped"
GONE: Final = "gone"
