"""Forest: a tree as it is shown, put together from a spec, from a running node, and from the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from ...printable import printable
from ...spec.spec import Spec, SupervisorSpec, to_config
from ...supervisor.child_rows import PLANNED, STARTED
from .output import console, visible
from .stored_children import StoredChild

__all__ = ("Branch", "branch_of", "child_branch", "live_branches", "print_tree", "stored_branch")

_STYLES = {
    "up": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "restarting": "yellow",
    "stopped": "red",
    "left": "red",
    "damaged": "red",
    "unusable": "red",
}


class Branch:
    """One address with its facts, and its children."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self.facts: dict[str, Any] = {}
        self.children: dict[str, Branch] = {}
        self.hidden = 0
        """How many children aren't shown."""

    def at(self, address: str) -> Branch:
        """The branch of an address below the root, made if need be."""
        branch = self
        path = ""
        for name in address.strip("/").split("/"):
            path = f"{path}/{name}"
            if name not in branch.children:
                branch.children[name] = Branch(path, name)
            branch = branch.children[name]
        return branch

    def to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"address": self.address, **self.facts}
        if self.children:
            data["children"] = [child.to_data() for child in self.children.values()]
        if self.hidden:
            data["hidden"] = self.hidden
        return data


def branch_of(root: Branch, spec: Spec, parent: str = "") -> None:
    """Enter a spec and everything below it."""
    branch = root.at(f"{parent}/{spec.id}")
    if isinstance(spec, SupervisorSpec):
        branch.facts.update(kind="supervisor", strategy=spec.strategy)
        if spec.template is not None:
            branch.facts["template"] = to_config(spec.template)["actor"]
        for child in spec.children:
            branch_of(root, child, branch.address)
    else:
        branch.facts.update(kind="actor", actor=to_config(spec)["actor"])
    branch.facts["restart"] = spec.restart


def live_branches(root: Branch, found: list[dict[str, Any]]) -> None:
    """Enter the facts that a node gives of its cells."""
    for facts in found:
        branch = root.at(facts["address"])
        branch.facts.update({name: value for name, value in facts.items() if name not in ("address", "hidden")})
        branch.hidden = facts.get("hidden", 0)


def stored_branch(root: Branch, address: str, facts: Mapping[str, Any]) -> None:
    """Enter a stored actor."""
    branch = root.at(address)
    branch.facts.setdefault("kind", "actor")
    branch.facts.update(facts if branch.facts.get("status") in (None, PLANNED, STARTED) else {**facts, **branch.facts})


def child_branch(root: Branch, child: StoredChild) -> None:
    """Enter a stored child. If a config file has entered the child before, its facts stay, but for the status."""
    branch = root.at(child.address)
    if child.spec is not None and "kind" not in branch.facts:
        branch_of(root, child.spec, child.supervisor)
    branch.facts["status"] = child.status


def print_tree(root: Branch) -> None:
    """Print the tree to stdout."""
    out = console()
    for branch in root.children.values():
        out.print(_grown(branch, Tree(_label(branch), guide_style="dim")))


def _grown(branch: Branch, tree: Tree) -> Tree:
    for child in branch.children.values():
        _grown(child, tree.add(_label(child)))
    if branch.hidden:
        tree.add(Text(f"… and {branch.hidden:,} more", style="dim"))
    return tree


def _label(branch: Branch) -> Text:
    facts = branch.facts
    label = visible(branch.address if branch.address.count("/") == 1 else branch.name, "bold")
    kind = facts.get("actor") or (facts.get("type") if facts.get("kind") != "supervisor" else None)
    for part in (facts.get("strategy"), facts.get("template") and f"of {facts['template']}", kind):
        if part:
            label.append(f"  {printable(part)}", style="not bold")
    if facts.get("restart") not in (None, "permanent"):
        label.append(f"  {facts['restart']}", style="not bold")
    if (status := facts.get("status")) and status != PLANNED:
        label.append(f"  {printable(status)}", style=f"not bold {_STYLES.get(status, 'dim')}")
    if (suspects := facts.get("suspects")) is not None:
        label.append(f"  {_progress(suspects)}", style="not bold yellow")
    if facts.get("mailbox"):
        label.append(f"  {facts['mailbox']:,} waiting", style="not bold")
    if facts.get("handling"):
        label.append(f"  handling {printable(facts['handling'])}", style="not bold")
    return label


def _progress(suspects: Mapping[str, int]) -> str:
    """How far a node has come with the suspects of its last death."""
    alone = suspects["alone"]
    if alone:
        return f"{alone} of {suspects['of']} suspects are run again alone, {suspects['left']} are left"
    return f"{suspects['left']} of {suspects['of']} suspects are run again"
