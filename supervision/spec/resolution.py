"""Resolution: from a child spec to its class, which is imported, its merged options and its converted arguments.

    resolution = resolve_spec(spec)
    actor = resolution.cls(**resolution.kwargs())

`check_tree` and `check_child` resolve every spec of a tree once, so that its mistakes are found before anything starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from ...actors.actor import Actor
from ...actors.definition.options import OPTION_NAMES, Options
from ..errors import ConfigError, Problem, in_order, show
from .arguments import convert_args
from .fields import is_reference, join, validate_fields
from .references import Unresolvable, refer, resolve
from .spec import ChildSpec, Spec, SupervisorSpec
from .stored_args import unstorable_args
from .validation import DEPTH_MAX, validate

__all__ = ("Resolution", "build_args", "check_child", "check_tree", "resolve_spec", "problems_of")


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is needed to make incarnations of one child."""

    spec: ChildSpec
    cls: type[Actor[Any]]
    options: Options
    """The options of the class, with those that the spec overrides."""

    def kwargs(self) -> dict[str, Any]:
        """The constructor's arguments. Each call makes them anew, so that no two incarnations share a list."""
        return convert_args(self.cls, self.spec.args)[0] if self.spec.args else {}


def resolve_spec(spec: ChildSpec) -> Resolution:
    """Resolve the spec of one child.

    Raises:
        ConfigError: its class can't be imported or is no actor, or an argument or option doesn't fit.
    """
    resolution, problems = _prepare(spec, "", None)
    if resolution is None:
        raise ConfigError(_title(spec), [*validate_fields(spec), *problems])
    return resolution


def build_args(spec: ChildSpec) -> dict[str, Any]:
    """The keyword arguments for the actor's class, converted as its `__init__` is annotated.

    Raises:
        ConfigError: as `resolve_spec`.
    """
    return resolve_spec(spec).kwargs()


def check_tree(spec: SupervisorSpec) -> None:
    """Check a whole tree: its specs, its classes, their options and arguments. Nothing is started.

    Raises:
        ConfigError: with every problem there is.
    """
    if not isinstance(spec, SupervisorSpec):
        problem = Problem(found=spec, expected="a SupervisorSpec as the root of the tree")
        raise ConfigError("tree", [problem])
    if problems := [*validate(spec), *problems_of(spec)]:
        raise ConfigError(_title(spec), in_order(problems))


def check_child(spec: Spec, parent: SupervisorSpec | None) -> None:
    """Check the spec of a `StartChild`, as that of a child of `parent`. The supervisor itself refuses an id
    that it has.

    Raises:
        ConfigError: with every problem there is.
    """
    if problems := [*validate(spec, parent=parent), *problems_of(spec)]:
        raise ConfigError(_title(spec), in_order(problems))


def problems_of(spec: object, key: str = "", folder: Path | None = None, depth: int = 1) -> Iterator[Problem]:
    """The problems of the classes, options and arguments of a spec and of those below it, in order.

    The problems that `validate` finds aren't repeated, and fields that it refused aren't looked at.
    """
    if isinstance(spec, ChildSpec):
        unstorable = [*unstorable_args(spec, key)] if isinstance(spec.args, dict) else []
        said = {problem.key for problem in unstorable}
        yield from unstorable
        yield from (problem for problem in _prepare(spec, key, folder)[1] if problem.key not in said)
    elif isinstance(spec, SupervisorSpec) and depth <= DEPTH_MAX:
        yield from problems_of(spec.template, join(key, "template"), folder)
        if isinstance(spec.children, list | tuple):
            for place, child in enumerate(spec.children):
                yield from problems_of(child, f"{join(key, 'children')}[{place}]", folder, depth + 1)


def _prepare(spec: ChildSpec, key: str, folder: Path | None) -> tuple[Resolution | None, list[Problem]]:
    problems: list[Problem] = []
    if not is_reference(spec.actor):
        return None, problems
    try:
        cls = resolve(spec.actor, folder)
    except Unresolvable as error:
        return None, [_unresolved(join(key, "actor"), error)]
    if not _is_actor(cls):
        expected = f"a subclass of Actor: {refer(cls)} is {'Actor itself' if cls is Actor else 'none'}"
        return None, [Problem(key=join(key, "actor"), found=spec.actor, expected=expected)]
    if isinstance(spec.args, dict):
        with suppress(RecursionError):  # that one was found to be unstorable
            problems += convert_args(cls, spec.args, join(key, "args"))[1]
    if any(validate_fields(spec)):
        return None, problems
    options = _options(cls, spec, key, folder, problems)
    if problems or options is None:
        return None, problems
    return Resolution(spec=spec, cls=cls, options=options), []


def _is_actor(cls: type) -> TypeGuard[type[Actor[Any]]]:
    return issubclass(cls, Actor) and cls is not Actor


def _options(
    cls: type[Actor[Any]], spec: ChildSpec, key: str, folder: Path | None, problems: list[Problem]
) -> Options | None:
    given = {name: value for name in OPTION_NAMES if (value := getattr(spec, name)) is not None}
    for name in ("retry_on", "reject_on"):
        if isinstance(given.get(name), tuple):
            given[name] = tuple(_errors(given[name], join(key, name), folder, problems))
    for name in ("handler_timeout_s", "idle_timeout_s"):
        if given.get(name) == "infinity":
            given[name] = None
    try:
        return cls.__definition__.options.replaced(**given)
    except (TypeError, ValueError) as error:
        name = str(error).partition(" ")[0]
        problems.append(Problem(key=join(key, name) if name in OPTION_NAMES else key, why=str(error)))
        return None


def _errors(
    references: tuple[Any, ...], key: str, folder: Path | None, problems: list[Problem]
) -> Iterator[type[Exception]]:
    for place, reference in enumerate(references):
        at = f"{key}[{place}]"
        if not isinstance(reference, str):
            continue
        try:
            cls = resolve(reference, folder)
        except Unresolvable as error:
            problems.append(_unresolved(at, error))
            continue
        if issubclass(cls, Exception):
            yield cls
        else:
            problems.append(Problem(key=at, found=reference, expected="a subclass of Exception"))


def _unresolved(key: str, error: Unresolvable) -> Problem:
    return Problem(key=key, why=f"{show(error.reference)}: {error.why}", hint=error.hint, found=error.reference)


def _title(spec: object) -> str:
    return f"{type(spec).__name__} {show(getattr(spec, 'id', None))}"
