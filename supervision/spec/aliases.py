"""Aliases: the checks that each leads to a class that exists, and hides none.

[aliases.actors]
"bank:Konto" = "bank:Account"      # stored name, or module:Class: what it was -> what it is

[aliases.messages]
Einzahlung = "Deposit"             # stored tag: what it was -> what it is
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...actors.actor import Actor
from ...actors.definition.definition import Definition
from ...actors.kernel.settings import Settings
from ...actors.messages.aliases import Aliases
from ...actors.messages.message import classes_with_tag
from ..errors import ConfigError, Problem, did_you_mean, show
from .fields import is_reference, join
from .references import Unresolvable, loaded, resolve
from .spec import ChildSpec, Spec, SupervisorSpec, walk

__all__ = ("aliased", "aliased_spec", "build_aliases", "check_aliases", "settle_aliases", "with_aliases")

SECTIONS = Aliases.__struct_fields__


def aliased(reference: str, aliases: Aliases) -> str:
    """The present reference of an actor class, for the reference in a stored spec."""
    return aliases.actors.get(reference, reference)


def aliased_spec(spec: Spec, aliases: Aliases) -> Spec:
    """A stored spec with the present references of its classes. The children of a supervisor have rows of their own."""
    if not aliases.actors:
        return spec
    if isinstance(spec, ChildSpec):
        return msgspec.structs.replace(spec, actor=aliased(str(spec.actor), aliases))
    if spec.template is not None:
        return msgspec.structs.replace(spec, template=aliased_spec(spec.template, aliases))
    return spec


def build_aliases(content: Mapping[str, Any], problems: list[Problem]) -> Aliases:
    """Read `[aliases]` as it was given; entries that aren't tables of texts are reported."""
    tables: dict[str, dict[str, str]] = {}
    given = content.get("aliases", {})
    if not isinstance(given, dict):
        problems.append(Problem(key="aliases", found=given, expected="a table", hint="In TOML: [aliases.actors]"))
        return Aliases()
    for section, table in given.items():
        key = join("aliases", section)
        if section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS) or (
                'Write "old" = "new" under [aliases.actors] or [aliases.messages].'
            )
            problems.append(Problem(key=key, why="there is no such key", hint=hint))
        elif not isinstance(table, dict):
            hint = f'In TOML: [{key}] and then "old" = "new"'
            problems.append(Problem(key=key, found=table, expected="a table of old names to new ones", hint=hint))
        else:
            tables[section] = {}
            for old, new in table.items():
                if old and isinstance(new, str) and new:
                    tables[section][old] = new
                else:
                    expected = "the name that it has now, as a text" if old else "no alias for an empty name"
                    problems.append(Problem(key=join(key, old), found=new, expected=expected))
    return Aliases(**tables)


def settle_aliases(aliases: Aliases, tree: SupervisorSpec) -> Aliases:
    """The aliases of a tree in code, which was checked. Each leads straight to a class that exists.

    Raises:
        ConfigError: with every problem there is.
    """
    problems: list[Problem] = []
    settled = check_aliases(build_aliases({"aliases": msgspec.to_builtins(aliases)}, problems), tree, problems)
    if problems:
        raise ConfigError(f"Settings for {show(tree.id)}", problems)
    return settled


def with_aliases(settings: Settings | None, of_file: Aliases, tree: SupervisorSpec) -> Settings:
    """The settings of a node, with the aliases of the config file. An alias of the settings
    themselves takes precedence.

    Raises:
        ConfigError: as `settle_aliases`.
    """
    settings = Settings() if settings is None else copy.copy(settings)
    own = settings.aliases
    settings.aliases = settle_aliases(
        Aliases(actors={**of_file.actors, **own.actors}, messages={**of_file.messages, **own.messages}), tree
    )
    return settings


def check_aliases(
    aliases: Aliases, tree: SupervisorSpec, problems: list[Problem], folder: Path | None = None
) -> Aliases:
    """Follow each alias to its end. Modules that they name are imported; the classes of the tree have been checked.

    Args:
        folder: where modules are looked for first, for the words of a problem.
    """
    if not aliases.actors and not aliases.messages:
        return aliases
    definitions = list(_definitions(tree))

    def actor(name: str, key: str) -> str | None:
        cls = _class_of(name, definitions, folder)
        if isinstance(cls, Problem):
            problems.append(msgspec.structs.replace(cls, key=key))
            return None
        path = cls.__definition__.path
        return cls.__definition__.name if "<locals>" in path else path

    def message(tag: str, key: str) -> str | None:
        if classes_with_tag(tag):
            return tag
        known = {known for definition in definitions for known in definition.by_tag}
        hint = did_you_mean(tag, known) or "It must be the tag of a message class that the tree's modules import."
        problems.append(Problem(key=key, why=f"no message class is stored as {show(tag)}", hint=hint))
        return None

    def existing_actor(name: str) -> str:
        for definition in definitions:
            if name in (definition.name, definition.path):
                return f"{definition.path} is in the tree under that name"
        cls = loaded(name) if is_reference(name) else None
        if isinstance(cls, type) and issubclass(cls, Actor) and cls is not Actor and cls.__definition__.path == name:
            return f"{name} is an actor class"
        return ""  # nothing has it, or a renamed class goes by it in its module

    def existing_message(tag: str) -> str:
        owner = next((found for found in definitions if found.type_for(tag) is not None), None)
        return "" if owner is None else f"{owner.path} takes messages of that tag"

    return Aliases(
        actors=_followed("aliases.actors", aliases.actors, actor, existing_actor, problems),
        messages=_followed("aliases.messages", aliases.messages, message, existing_message, problems),
    )


def _followed(
    key: str,
    table: Mapping[str, str],
    target: Callable[[str, str], str | None],
    existing: Callable[[str], str],
    problems: list[Problem],
) -> dict[str, str]:
    """Each name of the table, with the end of its chain as `target` returns it."""
    ends: dict[str, str | None] = {}
    """By name; None for a chain that leads nowhere, which has been reported."""
    for old in table:
        if there := existing(old):
            why = f"there is no need for this alias, and it would hide what there is: {there}"
            problems.append(Problem(key=join(key, old), why=why, hint="Remove it, or rename that class."))
        path = {old: None}  # in order
        name = table[old]
        while name in table and name not in path and name not in ends:
            path[name] = None
            name = table[name]
        last = next(reversed(path))
        if name in path:
            circle = [*path][[*path].index(name) :]
            why = f"it leads round in a circle: {' -> '.join([*circle, name])}"
            hint = "Let it end at the name that there is now."
            problems.append(Problem(key=join(key, old), why=why, hint=hint))
            end = None
        elif name in ends:
            end = ends[name]
        else:
            end = ends[name] = target(name, join(key, last))
        ends.update(dict.fromkeys(path, end))
    return {old: end for old in table if (end := ends[old]) is not None}


def _definitions(tree: SupervisorSpec) -> Iterator[Definition]:
    """The definition of every class that the tree names, each once."""
    seen: set[object] = set()
    for _, spec in walk(tree):
        child = spec.template if isinstance(spec, SupervisorSpec) else spec
        if child is not None and child.actor not in seen:
            seen.add(child.actor)
            yield resolve(str(child.actor)).__definition__  # type: ignore[attr-defined]  # the tree was checked


def _class_of(name: str, definitions: Iterable[Definition], folder: Path | None) -> type[Actor[Any]] | Problem:
    """The actor class that a stored name, or a reference, means now."""
    named = [found for found in definitions if name in (found.name, found.path)]
    if named:
        return named[0].cls
    if is_reference(name):
        try:
            cls = resolve(name, folder)
        except Unresolvable as error:
            return Problem(why=f"{show(name)}: {error.why}", hint=error.hint, found=name)
        if issubclass(cls, Actor) and cls is not Actor:
            return cls
        return Problem(found=name, expected="an actor class")
    known = [name for found in definitions for name in (found.name, found.path)]
    hint = did_you_mean(name, known) or "It must be the stored name of a class in the tree, or module:Class."
    return Problem(why=f"no actor class of the tree is stored as {show(name)}", hint=hint)
