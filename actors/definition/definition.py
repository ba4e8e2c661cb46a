"""Definition: the declarations of an actor class, worked out once when the class is defined."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from ..messages.difference import is_open, is_walked
from ..messages.errors import UnhandledMessage
from ..messages.message import Message, SystemRequest, classes_with_tag, system_tag, tag_of
from ..messages.types import MAIN, class_path, main_module, shown, type_argument, unstorable
from ..messages.vouching import vouching
from .handlers import MARK, HandlerMark, HandlerSpec, fallback_spec, read_handler
from .options import OPTION_NAMES, Backoff, Options, near_miss
from .versions import check_name, check_upgrade, join_type, state_version

__all__ = ("RESERVED", "Backoff", "Definition", "HandlerSpec", "Options", "stored_name")

RESERVED: frozenset[str] = frozenset(
    (
        "address",
        "cancel",
        "demonitor",
        "join",
        "leave",
        "link",
        "monitor",
        "now",
        "random",
        "ref",
        "retire",
        "schedule",
        "stash",
        "state",
        "stop",
        "supervisor",
        "system",
        "transaction",
        "turn",
        "unlink",
        "unstash_all",
    )
)
"""The names of the instance API, those of later releases included: a subclass can't define them."""

_HOOKS = {
    "initial_state": ("self",),
    "on_start": ("self",),
    "on_stop": ("self", "reason"),
    "receive": ("self", "message"),
}


class Definition:
    """One actor class, as the runtime reads it."""

    __slots__ = (
        "_resolved",
        "by_tag",
        "cls",
        "handlers",
        "has_receive",
        "name",
        "on_start_waits",
        "options",
        "overrides_on_start",
        "overrides_on_stop",
        "path",
        "state_decoder",
        "state_is_open",
        "state_is_walked",
        "state_type",
        "state_version",
        "state_vouch",
        "stored_type",
        "upgrades",
    )

    def __init__(self, cls: type[Any], root: type[Any]) -> None:
        """Read `cls`, a subclass of `root` (`Actor`).

        Raises:
            TypeError: the class has a mistake. The text names class and member, what was found, what to write instead.
        """
        self.cls = cls
        self.name = stored_name(cls)
        """The name of the class in rows: its `name`, else its path."""
        self.path = _path(cls)
        """The class's place, `module:QualName`, whatever its `name`."""
        _check_members(cls)
        self.state_version = state_version(cls)
        self.stored_type = join_type(self.name, self.state_version)
        """The class and state version that it writes into rows."""
        self.options = _options(cls, root)
        self.state_type: Any = _state_type(cls, root)
        """The state's type; None for a stateless actor."""
        self.state_decoder: msgspec.json.Decoder[Any] | None = (
            None if self.state_type is None else msgspec.json.Decoder(self.state_type)
        )
        self.state_is_open = self.state_type is not None and is_open(self.state_type)
        """Whether a state may have changed although its bytes haven't."""
        self.state_is_walked = self.state_type is not None and is_walked(self.state_type)
        """Whether states are compared field by field."""
        self.state_vouch = vouching(self.state_type)
        self.handlers: dict[type, HandlerSpec] = _handlers(cls, root)
        """The handlers by exact message type."""
        self.by_tag: dict[str, type[Message]] = _by_tag(cls, self.handlers)
        _check_system_requests(cls, self.handlers)
        self.has_receive = _overrides(cls, root, "receive")
        self.overrides_on_start = _overrides(cls, root, "on_start")
        self.on_start_waits = _can_suspend(cls.on_start)
        self.overrides_on_stop = _overrides(cls, root, "on_stop")
        self.upgrades = _upgrades(cls, root, self.state_version)
        """Whether the class's own `upgrade` makes old states new, rather than defaults alone."""
        self._resolved: dict[type, HandlerSpec | None] = {**self.handlers}

    def handler_for(self, message_type: type[Message]) -> HandlerSpec | None:
        """The handler of a message type: its own, else that of its nearest base class, else `receive`.

        None if there is none of these (the message is unhandled), if the runtime answers it, or if its tag means
        another class here: it would come back from its row as that one.
        """
        try:
            return self._resolved[message_type]
        except KeyError:
            pass
        if issubclass(message_type, SystemRequest):
            return None
        if tag_of(message_type) in self.by_tag:
            self._resolved[message_type] = None
            return None
        found = next((self.handlers[base] for base in message_type.__mro__ if base in self.handlers), None)
        if found is None and self.has_receive:
            found = fallback_spec(self.cls.receive, message_type)
        self._resolved[message_type] = found
        return found

    def unhandled(self, address: str, message_type: type[Message]) -> UnhandledMessage:
        """The error of a message that has no handler."""
        tag = tag_of(message_type)
        twin = self.by_tag.get(tag)
        path = class_path(message_type)
        paths = None if twin is None else (class_path(twin), path)
        return UnhandledMessage(
            address,
            tag,
            paths,
            is_supervisor=getattr(self.cls, "_supervises", False),
            for_supervisor=path.startswith("greenroom.supervision."),
        )

    def type_for(self, tag: str) -> type[Message] | None:
        """The message class that a stored tag means to this actor; None if there is none, or if it can't be told.

        A handled class first; then a class of that tag which a handler of a base class, or `receive`, takes:
        the one in the actor's own module, or the only one there is.
        """
        exact = self.by_tag.get(tag) or system_tag(tag)
        if exact is not None:
            return exact
        found = [cls for cls in classes_with_tag(tag) if self.handler_for(cls) is not None]
        if len(found) > 1:
            found = [cls for cls in found if cls.__module__ == self.cls.__module__]
        return found[0] if len(found) == 1 else None

    def __repr__(self) -> str:
        return f"<definition of {self.name}: {', '.join(sorted(self.by_tag)) or 'no handlers'}>"


def _overrides(cls: type, root: type, hook: str) -> bool:
    return getattr(cls, hook) is not getattr(root, hook)


def _can_suspend(function: Any) -> bool:
    """Whether a coroutine function may suspend, which only an awaited call can."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return True
    return any(instruction.opname in _WAITS for instruction in dis.get_instructions(code))


_WAITS = frozenset(("GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "SEND"))
"""`await`, `async for` and `async with`, as the compiler (3.11 and later) writes them."""


def _upgrades(cls: type[Any], root: type[Any], version: int) -> bool:
    overridden = getattr(cls.upgrade, "__func__", None) is not getattr(root.upgrade, "__func__", None)
    if overridden and version == 1:  # a renamed field would be filled by its default, and its old value lost
        raise TypeError(
            f"{cls.__qualname__}.upgrade would never be called: state_version is 1, and no stored version is lower. "
            "Write state_version = 2"
        )
    return overridden


def stored_name(cls: type) -> str:
    """`name` in the class body, else `module:QualName`: `python bank.py` stores `bank:Account`.

    Not inherited: two classes must not share a name.

    Raises:
        TypeError: `name` is no string, or empty, or the name ends like a state's version.
    """
    own = vars(cls).get("name")
    if own is not None:
        if not isinstance(own, str) or not own.strip():
            raise TypeError(
                f"{cls.__qualname__}.name is {own!r}: `name` is what rows call the class; "
                'write name = "account", or give your own attribute another name'
            )
        check_name(cls, own)
        return own
    path = _path(cls)
    check_name(cls, path)
    return path


def _path(cls: type) -> str:
    module, _, qualname = class_path(cls).partition(":")
    if module.startswith("greenroom."):  # rows of ours say the same, in whichever file the class stands
        module = "greenroom"
    elif module in MAIN:
        main = main_module()
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:  # python -m bank
            module = spec.name.removesuffix(".__main__")
        elif file:
            module = PurePath(file).stem
    return f"{module}:{qualname}"


def _options(cls: type, root: type) -> Options:
    values: dict[str, Any] = {}
    for klass in _lineage(cls, root):
        values.update((name, vars(klass)[name]) for name in OPTION_NAMES if name in vars(klass))
    for name, value in values.items():
        if hasattr(value, "__get__"):  # a function or a property
            raise TypeError(
                f"{cls.__qualname__}.{name} is a method, and {name!r} is an option. Give the method another name"
            )
    try:
        return Options(**values)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{cls.__qualname__}: {error}") from error


def _state_type(cls: type, root: type) -> Any:
    def wrong(why: str) -> TypeError:
        return TypeError(
            f"{cls.__qualname__}: its state can't be stored: {why}. Use a msgspec.Struct, a dataclass or "
            "built-in types in Actor[...]; Actor[None] is an actor without state"
        )

    try:
        kind = type_argument(cls, root)
        if kind is Any or kind is None or kind is type(None) or isinstance(kind, TypeVar):
            return None
        if why := unstorable(kind):
            raise wrong(why)
    except NameError as error:
        raise wrong(
            f"{error}. Define the type at the top of the module, before the actor, and import it in earnest, "
            "not under `if TYPE_CHECKING:`"
        ) from error
    return kind


def _handlers(cls: type, root: type) -> dict[type, HandlerSpec]:
    methods: dict[str, tuple[int, HandlerSpec, HandlerMark]] = {}
    for rank, klass in enumerate(_lineage(cls, root)):
        for name, value in vars(klass).items():
            mark, above = getattr(value, "__dict__", {}).get(MARK), methods.get(name)
            if mark is not None:
                methods[name] = rank, read_handler(klass, name, value, mark), mark
            elif above is not None:
                if inspect.isfunction(value):
                    methods[name] = rank, read_handler(klass, name, value, above[2], above[1]), above[2]
                else:  # `deposit = None`: no longer handled
                    del methods[name]
    found: dict[type, tuple[int, HandlerSpec]] = {}
    for rank, spec, _ in sorted(methods.values(), key=lambda method: method[0]):
        other = found.get(spec.message_type)
        if other is not None and other[0] == rank:
            raise TypeError(
                f"{cls.__qualname__}: {other[1].name} and {spec.name} both handle "
                f"{spec.message_type.__name__}. Keep one of them, or give them message types of their own"
            )
        found[spec.message_type] = rank, spec
    return {message_type: spec for message_type, (_, spec) in found.items()}


def _by_tag(cls: type, handlers: dict[type, HandlerSpec]) -> dict[str, type[Message]]:
    found: dict[str, type[Message]] = {}
    for message_type in handlers:
        tag = tag_of(message_type)
        other = found.setdefault(tag, message_type)
        if other is not message_type:
            raise TypeError(
                f"{cls.__qualname__}: it handles {class_path(other)} and {class_path(message_type)}, and "
                f"both are stored as {tag!r}. Give one a tag of its own: "
                f'`class {message_type.__name__}(Message, tag="...")`'
            )
    return found


def _check_system_requests(cls: type, handled: Iterable[type[Message]]) -> None:
    """
    Raises:
        TypeError: the class handles a request that the runtime answers, or a message that has its tag.
    """
    for message_type in handled:
        if issubclass(message_type, SystemRequest):
            raise TypeError(
                f"{cls.__qualname__}: it handles {class_path(message_type)}, and the runtime does that for every "
                "actor. Define a request of your own"
            )
        if system_tag(tag_of(message_type)) is not None:
            raise TypeError(
                f"{cls.__qualname__}: it handles {class_path(message_type)}, and its tag {tag_of(message_type)!r} is "
                f'the runtime\'s. Give it another: `class {message_type.__name__}(Message, tag="...")`'
            )


def _lineage(cls: type, root: type) -> list[type]:
    """The classes of the user, base classes and mixins included, the least derived first."""
    return [klass for klass in reversed(cls.__mro__) if klass not in root.__mro__]


def _check_members(cls: type) -> None:
    for name, value in vars(cls).items():
        if name in RESERVED:
            raise TypeError(f"{cls.__qualname__}.{name}: {name!r} belongs to every actor's own API. Use another name")
        if name in _HOOKS:
            _check_hook(cls, name, value)
        elif name == "upgrade":
            check_upgrade(cls, value)
        elif not name.startswith("_") and not callable(value) and not hasattr(value, "__get__"):
            meant = near_miss(name)
            if meant is not None:
                raise TypeError(f"{cls.__qualname__}.{name}: there is no such option. Did you mean {meant!r}?")


def _check_hook(cls: type, name: str, value: Callable[..., Any]) -> None:
    wanted = _HOOKS[name]
    is_async = name in ("on_start", "on_stop")
    example = f"`{'async ' if is_async else ''}def {name}({', '.join(wanted)})`"
    if not inspect.isfunction(value):
        raise TypeError(f"{cls.__qualname__}.{name} is {shown(type(value))}, no method. Write {example}")
    if getattr(value, "__dict__", {}).get(MARK) is not None:
        raise TypeError(
            f"{cls.__qualname__}.{name} has @handler, but the runtime calls it by itself. Remove the decorator"
        )
    try:
        inspect.signature(value).bind(*wanted)
    except TypeError:
        raise TypeError(
            f"{cls.__qualname__}.{name}{inspect.signature(value)} doesn't take ({', '.join(wanted)}). Write {example}"
        ) from None
    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        raise TypeError(f"{cls.__qualname__}.{name} is a generator: it would never run. Write {example}")
    if name == "receive":  # either will do
        return
    if inspect.iscoroutinefunction(inspect.unwrap(value)) is not is_async:
        found = "is not async" if is_async else "is async, but is called without await"
        raise TypeError(f"{cls.__qualname__}.{name} {found}. Write {example}")
