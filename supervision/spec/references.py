"""References: `module:Class`, the form in which a spec names an actor class or an exception.

A spec holds references only, never classes, so that the specs of code, of config files and of stored children are the
same data. A class that can't be imported (in a test, say, one that is local to a function) is remembered for as long as
it exists, so that code may use it in a tree; such a tree can't outlive the process.
"""

from __future__ import annotations

import builtins
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary, WeakValueDictionary

from ...actors.messages.errors import DEFINED_TWICE
from ...actors.messages.types import MAIN, main_module
from ...persistence.errors import GreenroomError

__all__ = ("Unresolvable", "folder_first", "loaded", "refer", "resolve")

_TRACEBACK_LINES_MAX = 12
_NEWER = "Import it again, and build the tree with the one that the module has."
_TRANSIENT = (
    "It was defined in a notebook, an interactive session or a program without a file, which no other process can "
    "import. Move it to a module."
)

_reference_of: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_class_of: WeakValueDictionary[str, type] = WeakValueDictionary()


class Unresolvable(GreenroomError):
    """A reference that leads to no class. `why` and `hint` are full sentences but for the last stop."""

    def __init__(self, reference: str, why: str, hint: str = "") -> None:
        self.reference = reference
        self.why = why
        self.hint = hint
        super().__init__(f"{reference}: {why}. {hint}" if hint else f"{reference}: {why}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return (type(self), (self.reference, self.why, self.hint))


def refer(cls: type) -> str:
    """The reference of a class: `bank:Ledger`; for builtins the bare name, `ValueError`.

    A class of the running script gets the script's module name (`python bank.py`: `bank:Ledger`, never
    `__main__:Ledger`), so that what is stored can be resolved by any other process.
    """
    if known := _reference_of.get(cls):
        return known
    if cls.__module__ == "builtins":
        return cls.__qualname__
    if cls.__module__.startswith("greenroom.") and _walk(sys.modules["greenroom"], cls.__qualname__) is cls:
        return f"greenroom:{cls.__qualname__}"  # this reference holds when the class moves to another file
    module = _main_name() if cls.__module__ in MAIN else cls.__module__
    plain = f"{module}:{cls.__qualname__}"
    loaded = _loaded(module)
    newest = None if loaded is None else _walk(loaded, cls.__qualname__)
    if newest is cls:
        return plain
    reference, number = plain, 1
    while reference in _class_of or (number == 1 and newest is not None):  # the plain one leads to the newest class
        number += 1
        reference = f"{plain}#{number}"
    _reference_of[cls] = reference
    _class_of[reference] = cls
    return reference


def resolve(reference: str, folder: Path | None = None) -> type:
    """The class that a reference names, importing its module if need be.

    Args:
        folder: where the module was looked for first (`folder_first`); for the error only.

    Raises:
        Unresolvable: no such module or class, or its import raised.
    """
    if known := _class_of.get(reference):
        if _is_older(known):
            why = f'module "{known.__module__}" has another class of that name by now: it {DEFINED_TWICE}'
            raise Unresolvable(reference, why, _NEWER)
        return known
    module_name, colon, qualname = reference.partition(":")
    if not colon:
        module_name, qualname = "builtins", reference
    if not qualname or not all(part.isidentifier() for part in module_name.split(".")):
        raise Unresolvable(reference, 'this names no class: expected "module:Class"')
    if "<locals>" in qualname:
        raise Unresolvable(
            reference,
            "the class is local to a function, so it can't be imported",
            "Move it to the top of its module.",
        )
    module = _import(reference, module_name, folder)
    found = _walk(module, qualname)
    if found is None:
        raise Unresolvable(
            reference,
            _no_class(module, module_name, qualname, bool(colon)),
            _TRANSIENT if module_name in MAIN else _nearest(module, module_name, qualname),
        )
    if not isinstance(found, type):
        raise Unresolvable(reference, f"{qualname} is no class, but a {type(found).__name__}")
    return found


def _is_older(cls: type) -> bool:
    """Whether the class was defined again since, in its module."""
    module = _loaded(_main_name() if cls.__module__ in MAIN else cls.__module__)
    newest = None if module is None else _walk(module, cls.__qualname__)
    return (
        isinstance(newest, type)
        and newest is not cls
        and (newest.__module__, newest.__qualname__) == (cls.__module__, cls.__qualname__)
    )


def loaded(reference: str) -> object | None:
    """The object that a reference names, if its module is loaded already. Nothing is imported."""
    if known := _class_of.get(reference):
        return known
    module = _loaded(reference.partition(":")[0])
    return None if module is None else _walk(module, reference.partition(":")[2])


@contextmanager
def folder_first(folder: Path) -> Iterator[None]:
    """Import from `folder` first. Afterwards the folder stays importable, as the last."""
    entry = str(folder)
    present = entry in sys.path
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)  # takes the first one: ours
        if not present:
            sys.path.append(entry)


def _import(reference: str, name: str, folder: Path | None) -> ModuleType:
    loaded = _loaded(name)
    if loaded is not None:
        _check_origin(reference, name, loaded, folder)
        return loaded
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Unresolvable(reference, _raised(name, error), _missing_dependency(error)) from error
        where = f"in {folder} or on sys.path" if folder else "on sys.path"
        raise Unresolvable(reference, f'there is no module "{name}" {where}', _nearest_file(name, folder)) from error
    except (Exception, SystemExit) as error:
        raise Unresolvable(reference, _raised(name, error)) from error


def _loaded(name: str) -> ModuleType | None:
    """The module if it is loaded.

    The running script counts under its own name: importing it again would make a second copy of each class.
    """
    if name == _main_name() and (main := main_module()) is not None:
        return main
    return sys.modules.get(name)


def _main_name() -> str:
    main = main_module()
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    stem = Path(file).stem if file else "__main__"
    return stem if stem.isidentifier() else "__main__"


def _check_origin(reference: str, name: str, loaded: ModuleType, folder: Path | None) -> None:
    """A module of the same name, loaded from elsewhere before, must not stand in for the folder's own."""
    if folder is None:
        return
    base = folder.joinpath(*name.split("."))
    here = [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]
    file = getattr(loaded, "__file__", None)
    if here and file and not any(os.path.exists(file) and path.samefile(file) for path in here):
        raise Unresolvable(
            reference,
            f'another module "{name}" is loaded already, from {file}',
            f"Rename {here[0]}, or load one of them.",
        )


def _walk(module: ModuleType, qualname: str) -> object | None:
    found: object | None = module
    for part in qualname.split("."):
        try:
            found = getattr(found, part, None)
        except Exception:  # a module's own __getattr__ may raise anything
            return None
    return found


def _no_class(module: ModuleType, name: str, qualname: str, given_module: bool) -> str:
    if not given_module:
        return f'there is no builtin "{qualname}", and no module is named'
    file = getattr(module, "__file__", None)
    return f'module "{name}" has no "{qualname}"' + (f" ({file})" if file else "")


def _nearest(module: ModuleType, name: str, qualname: str) -> str:
    near = difflib.get_close_matches(
        qualname, [key for key, value in vars(module).items() if isinstance(value, type)], n=1
    )
    if not near:
        return 'Expected "module:Class".' if module is builtins else ""
    return f'Did you mean "{near[0]}"?' if module is builtins else f'Did you mean "{name}:{near[0]}"?'


def _nearest_file(name: str, folder: Path | None) -> str:
    if folder is None or not folder.is_dir():
        return ""
    top, *rest = name.split(".")
    present = [path.stem for path in folder.glob("*.py")] + [path.parent.name for path in folder.glob("*/__init__.py")]
    near = difflib.get_close_matches(top, present, n=1)
    return f'Did you mean "{".".join([near[0], *rest])}"?' if near else ""


def _missing_dependency(error: ModuleNotFoundError) -> str:
    return f'Is "{error.name}" installed in {sys.prefix}?' if error.name else ""


def _raised(name: str, error: BaseException) -> str:
    """The error of an import in words, with the end of the user's own traceback."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    lines = "".join([*traceback.format_list(frames), *traceback.format_exception_only(type(error), error)]).splitlines()
    cut = ["…"] if len(lines) > _TRACEBACK_LINES_MAX else []
    tail = "\n".join(f"    {line}" for line in [*cut, *lines[-_TRACEBACK_LINES_MAX:]])
    return f'importing "{name}" raised {type(error).__name__}:\n{tail}'
