"""`greenroom tree`: the tree as it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import Annotated

from cyclopts import Parameter

from ....persistence.errors import StoreUnavailable
from ....persistence.store.rows import ActorRow
from ...config.load import load_config
from ..view.desk import Desk
from ..view.forest import Branch, branch_of, child_branch, live_branches, print_tree, stored_branch
from ..view.output import AsJson, note, print_json
from ..view.paging import check_limit
from ..view.stored_children import stored_children
from ..view.target import Target, open_desk

__all__ = ("tree",)

UNUSABLE = "unusable"
"""The status of a stored child that the running node couldn't make: the log of its start says why."""


def tree(
    *,
    target: Target | None = None,
    limit: Annotated[int, Parameter(help="Children shown of one dynamic supervisor.", validator=check_limit)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the tree: with the status of each actor if a node runs, else as the config file and the store have it.

    For example:

        greenroom tree

        greenroom tree --tree bank.toml --limit 100

        greenroom tree --store sqlite:///bank.db --json
    """
    asyncio.run(_tree(target or Target(), limit, as_json))


async def _tree(target: Target, limit: int, as_json: bool) -> None:
    root = Branch("", "")
    file = target.file()
    if file is not None:
        branch_of(root, load_config(file).tree)
    try:
        async with open_desk(target) as desk:
            children = {child.address: child for child in await stored_children(desk.store)}
            for child in children.values():
                child_branch(root, child)
            live = await desk.live("/", per_parent=limit)
            if live is None:
                await _stored(desk, root, limit, children)
            else:
                live_branches(root, live)
                for address in children.keys() - {facts["address"] for facts in live}:
                    if not children[address].halted:
                        root.at(address).facts["status"] = UNUSABLE
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


async def _stored(desk: Desk, root: Branch, limit: int, static: Container[str]) -> None:
    shown: dict[str, int] = {}
    async for row in desk.store.iterate(ActorRow):
        parent = row.address.rpartition("/")[0]
        count = shown[parent] = shown.get(parent, 0) + (row.address not in static)
        if count <= limit:
            facts = {"type": row.type, "status": "stored", "incarnation": row.incarnation, "updated": row.updated}
            stored_branch(root, row.address, facts)
        else:
            root.at(parent).hidden += 1
