"""Counts one Python file. The sequential pass and the actors share this, and nothing else."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Counts", "count", "entries", "plugin_of")

SKIPPED = {"__pycache__", "site-packages", "dist-packages"}
DIRECTIVE = re.compile(rb"\A# indexer-plugin: (\w+)")


@dataclass(frozen=True)
class Counts:
    lines: int
    classes: int
    functions: int
    imports: dict[str, int]
    """By top-level module; "." for relative ones."""


def entries(folder: str, *, after: str = "") -> Iterator[tuple[str, bool]]:
    """The subfolders and the Python files of a folder, in order: path, and whether it is a folder.

    Args:
        after: a name; the entries up to it are left out.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name <= after:
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in SKIPPED:
                yield entry.path, True
        elif entry.name.endswith(".py"):
            yield entry.path, False


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement. Expressions hold none, and to walk over them would take as long as the parsing does."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(node, name, None)
            if type(inside) is list:
                left += inside


def plugin_of(source: bytes) -> str | None:
    """The plug-in that a file asks for in its first line: `# indexer-plugin: NAME`."""
    found = DIRECTIVE.match(source)
    return None if found is None else found[1].decode()


def count(path: str | Path, source: bytes) -> Counts:
    """
    Raises:
        SyntaxError: it isn't Python, or names an encoding that there isn't.
        UnicodeDecodeError: it isn't in its encoding.
        ValueError: it holds null bytes (in Python 3.11; a SyntaxError from 3.12 on).
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    text = source.decode(encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        tree = ast.parse(text, filename=str(path))
    classes = functions = 0
    imports: Counter[str] = Counter()
    for node in statements(tree):
        if isinstance(node, ast.ClassDef):
            classes += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions += 1
        elif isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports["." if node.level else (node.module or "").partition(".")[0]] += 1
    return Counts(text.count("\n"), classes, functions, dict(imports))
