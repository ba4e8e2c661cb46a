"""Orders: the config file and the flags that `run` hands to the process of the node."""

from __future__ import annotations

import math
import sys
from typing import Any, Literal

import msgspec

__all__ = ("Orders", "Verbosity")

Verbosity = Literal["quiet", "normal", "verbose"]


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    tree: str
    """The config file."""
    overrides: dict[str, Any] = {}
    """The flags, as `load_config` takes them."""
    until_idle: bool = False
    verbosity: Verbosity = "normal"

    def command(self) -> list[str]:
        """The command that starts the node.

        With `-P` the working directory isn't importable, so that a `queue.py` there doesn't replace the library's.
        """
        # JSON would carry nan and inf as null, which means "not given". As texts they reach the check of the config.
        overrides = {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self.overrides.items()
        }
        orders = msgspec.structs.replace(self, overrides=overrides)
        return [
            sys.executable,
            "-P",
            "-m",
            "greenroom.supervision.cli.process.child",
            msgspec.json.encode(orders).decode(),
        ]

    @classmethod
    def read(cls, argument: str) -> Orders:
        return msgspec.json.decode(argument, type=cls)
