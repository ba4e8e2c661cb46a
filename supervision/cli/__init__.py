"""The command line: `greenroom run TREE` and its companions. docs/cli.md has every command."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (`exit_codes`).

    Args:
        arguments: without the program's name; by default those of this process.
    """
    from .app import run_app  # nobody who only imports greenroom pays for cyclopts and rich

    return run_app(arguments)
