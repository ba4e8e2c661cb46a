"""`understudy tree`: the tree as it stands."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from ...persistence.errors import StoreUnavailable
from ...persistence.record import ActorRow
from ..config import load_config
from .desk import Desk
from .forest import Branch, branch_of, live_branches, print_tree, stored_branch
from .output import AsJson, note, print_json
from .target import Target, open_desk

__all__ = ("tree",)


def tree(
    *,
    target: Target | None = None,
    limit: Annotated[int, Parameter(help="Children shown of one dynamic supervisor.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the tree: with the status of each actor if a node runs, else what the config says and the store keeps.

    For example:

        understudy tree

        understudy tree --tree bank.toml --limit 100

        understudy tree --store sqlite:///bank.db --json
    """
    asyncio.run(_tree(target or Target(), limit, as_json))


async def _tree(target: Target, limit: int, as_json: bool) -> None:
    root = Branch("", "")
    file = target.file()
    if file is not None:
        branch_of(root, load_config(file).tree)
    try:
        async with open_desk(target) as desk:
            live = await desk.live("/", per_parent=limit)
            if live is None:
                await _stored(desk, root, limit)
            else:
                live_branches(root, live)
            if desk.node() is None:
                note("no node runs on this store: this is what it keeps")
    except StoreUnavailable as error:
        if file is None:
            raise
        note(f"no store yet: {error}")
    if as_json:
        print_json([branch.to_data() for branch in root.children.values()])
    else:
        print_tree(root)


async def _stored(desk: Desk, root: Branch, limit: int) -> None:
    shown: dict[str, int] = {}
    async for row in desk.store.iterate(ActorRow):
        parent = row.address.rpartition("/")[0]
        count = shown[parent] = shown.get(parent, 0) + 1
        if count <= limit:
            facts = {"type": row.type, "status": "stored", "incarnation": row.incarnation, "updated": row.updated}
            stored_branch(root, row.address, facts)
        else:
            root.at(parent).hidden += 1
