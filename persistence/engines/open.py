"""Which engine a store's URL asks for."""

from __future__ import annotations

from ..errors import StoreUrlInvalid
from ..runtime import Runtime
from ..store.contract import Store

__all__ = ("open_store",)


def open_store(url: str, runtime: Runtime) -> Store:
    """The store of a URL, not opened yet: `sqlite:///bank.db`, `sqlite:////srv/bank.db` or `memory://`.

    Raises:
        StoreUrlInvalid: no engine of this release understands it.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from .sqlite.engine import SqliteStore

        return SqliteStore(url, runtime)
    if url in ("memory://", "memory:"):
        from .memory.engine import MemoryStore

        return MemoryStore(url, runtime)
    if scheme.startswith("postgres"):
        raise StoreUrlInvalid(url, "this release has no engine for PostgreSQL")
    raise StoreUrlInvalid(url, f"there is no engine {scheme!r}" if ":" in url else "it has no scheme")
