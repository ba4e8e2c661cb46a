"""Settings: the values that a node can set for its system."""

from __future__ import annotations

import math

from ..messages.aliases import Aliases

__all__ = ("REPLY_RETENTION_S", "Settings")

REPLY_RETENTION_S = 60.0
"""Seconds for which the reply of an ask from another process waits to be fetched."""


class Settings:
    """The values that a node can set for its system: `start(tree, settings=Settings(incidents_kept=100))`."""

    def __init__(
        self,
        *,
        key_retention_s: float = 86_400.0,
        transaction_timeout_s: float = 1.0,
        inbox_poll_s: float = 0.01,
        incidents_kept: int = 10_000,
        dead_letters_kept: int = 100_000,
        dead_letters_kept_s: float = math.inf,
        housekeeping_s: float = 60.0,
        aliases: Aliases | None = None,
    ) -> None:
        """
        Raises:
            ValueError: a value isn't a number of seconds above 0 (`math.inf` is one), or a whole number of at least 1;
                or `aliases` are no `Aliases`.
        """
        for name, count in (("incidents_kept", incidents_kept), ("dead_letters_kept", dead_letters_kept)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValueError(f"Settings({name}={count!r:.100}): write a whole number of at least 1")
        for name, seconds in (
            ("key_retention_s", key_retention_s),
            ("transaction_timeout_s", transaction_timeout_s),
            ("inbox_poll_s", inbox_poll_s),
            ("dead_letters_kept_s", dead_letters_kept_s),
            ("housekeeping_s", housekeeping_s),
        ):
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
                raise ValueError(f"Settings({name}={seconds!r:.100}): write a number of seconds above 0")
        if not isinstance(aliases, Aliases | None):
            raise ValueError(f"Settings(aliases={aliases!r:.100}): write Aliases(actors={{...}}, messages={{...}})")
        self.key_retention_s = key_retention_s
        """Seconds for which an idempotency key is known."""
        self.transaction_timeout_s = transaction_timeout_s
        """Seconds for which a turn may hold a user transaction."""
        self.inbox_poll_s = inbox_poll_s
        """Seconds between two looks for what other processes have told."""
        self.incidents_kept = incidents_kept
        """The number of incidents that are kept, the newest ones (supervision/supervisor/incidents.py)."""
        self.dead_letters_kept = dead_letters_kept
        """The number of dead letters that are kept, the newest ones (actors/recovery/housekeeping.py)."""
        self.dead_letters_kept_s = dead_letters_kept_s
        """Seconds for which a dead letter is kept, since it was parked."""
        self.housekeeping_s = housekeeping_s
        """Seconds between two rounds of the housekeeping."""
        self.aliases = aliases or Aliases()
        """The names of renamed classes in old rows. `start` checks them, and adds those of the config file."""
