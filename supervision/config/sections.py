"""The sections of a config file beside the tree: `[store]` and `[node]`, and the rules of their keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec

from ...actors.kernel.settings import Settings
from ...actors.messages.aliases import Aliases
from ...persistence.engines.urls import check_url, sqlite_url
from ...persistence.errors import StoreUrlInvalid
from ..spec.fields import SUPERVISOR_RULES, Rule, is_count, is_positive
from ..spec.spec import SupervisorSpec

__all__ = (
    "NODE_RULES",
    "STORE_RULES",
    "ConfigFile",
    "NodeSettings",
    "StoreSettings",
    "config_schema",
    "settable",
    "store_url_from",
)

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The store of the node."""

    url: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9+]*://")] = "sqlite:///greenroom.db"
    """The path of a SQLite store is relative to the config file's folder; where a flag or the environment
    gives it, to the working directory."""


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node: how its process is watched, respawned and stopped, and how much it keeps on record."""

    hang_s: Seconds = 30.0
    """Seconds the event loop may stand still before the watchdog ends the node."""
    respawn_intensity: Annotated[int, msgspec.Meta(ge=0)] = 10
    """How often `greenroom run` starts the node again within `respawn_period_s` seconds; with one more it gives up."""
    respawn_period_s: Seconds = 60.0
    stop_timeout_s: Seconds = 30.0
    """Seconds for the whole tree to stop in, when the node is told to."""
    incidents_kept: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """How many incidents stay on record: exits, and what supervisors did about them. The oldest are deleted."""
    dead_letters_kept: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    """How many dead letters the store keeps. Beyond that the oldest are deleted."""
    dead_letters_kept_s: Seconds | Literal["infinity"] = "infinity"
    """Seconds after which a dead letter is deleted."""
    transaction_timeout_s: Seconds = 1.0
    """Seconds that a turn may hold `transaction()`, because no other turn commits meanwhile."""
    key_retention_s: Seconds = 86_400.0
    """Seconds for which an idempotency key is known. A message told again under it after that counts again."""
    inbox_poll_s: Seconds = 0.01
    """Seconds between two looks for what other processes have told. A look takes microseconds."""
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    """The event loop that `greenroom run` runs the node on. uvloop takes `greenroom[uvloop]`."""

    def system(self, aliases: Aliases | None = None) -> Settings:
        """The settings of the actor system."""
        kept_s = self.dead_letters_kept_s
        return Settings(
            aliases=aliases,
            incidents_kept=self.incidents_kept,
            dead_letters_kept=self.dead_letters_kept,
            dead_letters_kept_s=math.inf if kept_s == "infinity" else kept_s,
            transaction_timeout_s=self.transaction_timeout_s,
            key_retention_s=self.key_retention_s,
            inbox_poll_s=self.inbox_poll_s,
        )


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A config file of greenroom: a store, a node, and a tree of supervisors and actors."""

    supervisor: SupervisorSpec
    store: StoreSettings = StoreSettings()
    node: NodeSettings = NodeSettings()
    aliases: Aliases = Aliases()
    """The old names of renamed actor classes and messages (docs/upgrading.md)."""


def _wrong_url(value: Any) -> str:
    """The reason why it is no store's URL, as `start` would give it; "" if it is one."""
    if not isinstance(value, str) or not value.strip():
        return "Expected sqlite:///path/to/file.db, for example."
    if ":" not in value:
        return f'Did you mean "{sqlite_url(value)}"?'
    try:
        check_url(value)
    except StoreUrlInvalid as error:
        return f"{error.why[:1].upper()}{error.why[1:]}."
    return ""


_SECONDS = Rule("a number of seconds above 0", is_positive)
LOOPS = ("asyncio", "uvloop")
_COUNT = Rule("a whole number of at least 1", is_count)
_LIMIT = Rule(
    'a number of seconds above 0, or "infinity"', lambda value: value == "infinity" or is_positive(value), ("infinity",)
)

STORE_RULES = {
    "url": Rule("a URL as sqlite:///bank.db or memory://", lambda value: not _wrong_url(value), advise=_wrong_url)
}
NODE_RULES = {
    "hang_s": _SECONDS,
    "respawn_intensity": Rule("a whole number of at least 0", lambda value: is_count(value, 0)),
    "respawn_period_s": _SECONDS,
    "stop_timeout_s": _SECONDS,
    "incidents_kept": _COUNT,
    "dead_letters_kept": _COUNT,
    "dead_letters_kept_s": _LIMIT,
    "transaction_timeout_s": _SECONDS,
    "key_retention_s": _SECONDS,
    "inbox_poll_s": _SECONDS,
    "loop": Rule('"asyncio" or "uvloop"', lambda value: value in LOOPS, LOOPS),
}


def settable() -> dict[str, Rule]:
    """The key paths that environment and flags can set: every single value outside of the children."""
    sections = {"store": STORE_RULES, "node": NODE_RULES, "supervisor": SUPERVISOR_RULES}
    return {f"{section}.{name}": rule for section, rules in sections.items() for name, rule in rules.items()}


def store_url_from(url: str, folder: Path) -> str:
    """The URL, with the relative path of a SQLite file taken from `folder`."""
    scheme, separator, rest = url.partition(":///")
    path, _, query = rest.partition("?")
    if scheme != "sqlite" or not separator or not path or path.startswith(":memory:"):
        return url
    return sqlite_url(folder / unquote(path, errors="surrogateescape"), query)  # an absolute path stays what it is


def config_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of config files, for editors. JSON files may name it under `$schema`.

    `kind` isn't demanded: an entry with `actor` is an actor, any other a supervisor.
    """
    schema = msgspec.json.schema(ConfigFile)
    definitions = schema["$defs"]
    for name in ("ChildSpec", "SupervisorSpec"):
        definitions[name]["required"].remove("kind")
    definitions["SupervisorSpec"]["properties"]["children"]["items"].pop("discriminator")
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = definition["description"].partition("\n\n")[0].replace("\n    ", " ")
    for name in ("BackoffChanges", "RestartBackoffTable"):
        definitions[name]["additionalProperties"] = False
    definitions["ConfigFile"]["properties"]["$schema"] = {"type": "string"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "greenroom config", **schema}
