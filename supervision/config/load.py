"""Config files: a tree, its store and its node in TOML, JSON or YAML.

    tree = load_tree("bank.toml")
    config = load_config("bank.toml", overrides={"store.url": "sqlite:///other.db"})
    config.store.url, config.node.hang_s, config.tree

A value is taken from the first of flag, environment (`GREENROOM_STORE__URL`), file and default that gives it. To load a
file imports the classes of its tree, from the file's folder or sys.path, and checks everything. All problems are
reported at once, each with its file, its key and its fix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...actors.definition.options import OPTION_NAMES
from ...actors.messages.aliases import Aliases
from ...persistence.errors import redacted
from ..errors import ConfigError, Problem, in_order
from ..spec.aliases import build_aliases, check_aliases
from ..spec.fields import Rule, join
from ..spec.references import folder_first
from ..spec.resolution import problems_of, resolve_spec
from ..spec.spec import ChildSpec, Spec, SupervisorSpec
from ..spec.validation import validate
from .build import build_section, build_tree, check_sections
from .sections import (
    NODE_RULES,
    STORE_RULES,
    NodeSettings,
    StoreSettings,
    config_schema,
    settable,
    store_url_from,
)
from .sources import Given, read_environment, read_file, read_overrides, settle

__all__ = (
    "Config",
    "NodeSettings",
    "Setting",
    "StoreSettings",
    "config_schema",
    "load_config",
    "load_node",
    "load_store",
    "load_tree",
)


class Setting(msgspec.Struct, frozen=True):
    """One effective value and where it came from."""

    key: str
    value: Any
    origin: str
    """`flag`, `environment NAME`, `file PATH`, `class module:Class` or `default`."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A config file, checked, with everything that was given in its place."""

    file: str
    store: StoreSettings
    node: NodeSettings
    tree: SupervisorSpec
    aliases: Aliases
    """Each leads straight to a class that exists."""
    given: dict[str, Any]
    """The raw content that flags, environment and file gave together."""
    origins: dict[str, str]
    """The origin of each key path that a flag or the environment gave."""

    def effective(self) -> list[Setting]:
        """Every value that holds, section by section, for `greenroom config show`. Passwords are hidden."""
        found = [
            *self._section("store", self.store),
            *self._section("node", self.node),
            *self._spec("supervisor", self.tree, self.given["supervisor"]),
            *self._aliases(),
        ]
        return [Setting(s.key, redacted(s.value), s.origin) if s.key == "store.url" else s for s in found]

    def _section(self, key: str, values: StoreSettings | NodeSettings) -> Iterator[Setting]:
        for name in values.__struct_fields__:
            yield self._setting(join(key, name), getattr(values, name), name in self.given.get(key, {}))

    def _aliases(self) -> Iterator[Setting]:
        for section, table in msgspec.structs.asdict(self.aliases).items():
            for old, new in table.items():
                yield self._setting(join(f"aliases.{section}", old), new, True)

    def _spec(self, key: str, spec: Spec, given: Mapping[str, Any]) -> Iterator[Setting]:
        options = resolve_spec(spec).options if isinstance(spec, ChildSpec) else None
        for name in spec.__struct_fields__:
            at, value = join(key, name), getattr(spec, name)
            if isinstance(spec, SupervisorSpec) and name == "children":
                for place, (child, raw) in enumerate(zip(spec.children, given.get(name, ()), strict=True)):
                    yield from self._spec(f"{at}[{place}]", child, raw)
            elif isinstance(value, ChildSpec):
                yield from self._spec(at, value, given[name])
            elif isinstance(spec, ChildSpec) and options is not None and name in OPTION_NAMES and value is None:
                yield Setting(at, _readable(getattr(options, name)), f"class {spec.actor}")
            elif name != "template":
                yield self._setting(at, _readable(value), name in given)

    def _setting(self, key: str, value: Any, in_file: bool) -> Setting:
        return Setting(key, value, self.origins.get(key) or (f"file {self.file}" if in_file else "default"))


def load_tree(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> SupervisorSpec:
    """The tree of a config file, ready to be started. Arguments and errors as `load_config`."""
    return load_config(path, environ=environ, overrides=overrides).tree


def load_config(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """Read and check a config file. Imports the classes that it names; its folder stays importable.

    Args:
        path: a .toml, .json, .yaml or .yml file; YAML takes the extra `greenroom[yaml]`.
        environ: in place of `os.environ`.
        overrides: flags, key path to value (`{"store.url": ..., "node.hang_s": "10"}`); None: not given.

    Raises:
        ConfigError: with everything that is wrong.
    """
    path = Path(path)
    problems: list[Problem] = []
    content = read_file(path)
    keys = settable()
    from_environment, strange = read_environment(os.environ if environ is None else environ, keys)
    problems += strange
    from_flags, strange = read_overrides(overrides or {}, keys)
    problems += strange
    given = {**from_environment, **from_flags}
    content = settle(content, given)

    check_sections(content, problems)
    store = build_section(content, "store", STORE_RULES, problems)
    node = build_section(content, "node", NODE_RULES, problems)
    aliases = build_aliases(content, problems)
    tree = build_tree(content, problems)
    folder = path.parent.resolve()
    if tree is not None:  # if it can't be built, that has been reported
        problems += validate(tree, "supervisor")
        with folder_first(folder):
            problems += problems_of(tree, "supervisor", folder)
            if not problems:
                aliases = check_aliases(aliases, tree, problems, folder)
    if problems or tree is None:
        raise ConfigError(str(path), [_mendable(problem, path, given) for problem in in_order(problems)])
    return Config(
        file=str(path),
        store=_store(store, folder, given),
        node=NodeSettings(**node),
        tree=tree,
        aliases=aliases,
        given=content,
        origins={key: entry.origin for key, entry in given.items()},
    )


def load_node(path: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None) -> NodeSettings:
    """`[node]` alone. Imports no class of the tree, and doesn't look at it. Arguments and errors as `load_config`."""
    return NodeSettings(**_load_section(Path(path), "node", NODE_RULES, overrides)[0])


def load_store(path: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None) -> StoreSettings:
    """`[store]` alone, as `load_node`."""
    values, given = _load_section(Path(path), "store", STORE_RULES, overrides)
    return _store(values, Path(path).parent.resolve(), given)


def _load_section(
    path: Path, name: str, rules: Mapping[str, Rule], overrides: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Given]]:
    keys = settable()
    from_environment, _ = read_environment(os.environ, keys)
    from_flags, _ = read_overrides(overrides or {}, keys)
    given = {**from_environment, **from_flags}
    problems: list[Problem] = []
    values = build_section(settle(read_file(path), given), name, rules, problems)
    if problems:
        raise ConfigError(str(path), [_mendable(problem, path, given) for problem in problems])
    return values, given


def _store(values: Mapping[str, Any], folder: Path, given: Mapping[str, Given]) -> StoreSettings:
    store = StoreSettings(**values)
    base = Path.cwd() if "store.url" in given else folder
    return msgspec.structs.replace(store, url=store_url_from(store.url, base))


def _mendable(problem: Problem, path: Path, given: Mapping[str, Given]) -> Problem:
    """The problem, with the place to mend it if that isn't the file, and without the syntax of another format.

    Passwords are hidden.
    """
    if problem.hint.startswith("In TOML: ") and path.suffix.lower() != ".toml":
        problem = msgspec.structs.replace(problem, hint="")
    if problem.key == "store.url" and isinstance(problem.found, str):
        problem = msgspec.structs.replace(problem, found=redacted(problem.found))
    if problem.key in given:
        origin = given[problem.key].origin.removeprefix("environment ")
        origin = f"flag {problem.key}" if origin == "flag" else origin
        return msgspec.structs.replace(problem, origin=origin)
    return problem


def _readable(value: Any) -> Any:
    """Plain data, for a listing: exception classes by their names."""
    return msgspec.to_builtins(value, enc_hook=lambda kind: getattr(kind, "__qualname__", repr(kind)))
