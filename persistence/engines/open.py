"""Which engine a store's URL asks for."""

from __future__ import annotations

from ..runtime import Runtime
from ..store.contract import Store
from .urls import check_url, is_memory

__all__ = ("open_store",)


def open_store(url: str, runtime: Runtime) -> Store:
    """The store of a URL, not opened yet: `sqlite:///bank.db`, `sqlite:////srv/bank.db` or `memory://`.

    Raises:
        StoreUrlInvalid: no engine of this release understands it.
    """
    check_url(url)
    if is_memory(url):
        from .memory.engine import MemoryStore

        return MemoryStore(url, runtime)
    from .sqlite.engine import SqliteStore

    return SqliteStore(url, runtime)
