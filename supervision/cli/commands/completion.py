"""`greenroom completion`: the script by which a shell completes greenroom's commands and options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

from cyclopts import App

__all__ = ("completion_of",)

Shell = Literal["bash", "zsh", "fish"]


def completion_of(app: App) -> Callable[[Shell], None]:
    """The command that completes the commands of `app`, itself included."""

    def completion(shell: Shell, /) -> None:
        """Print a script that completes commands and options in a shell.

        For example:

            greenroom completion bash > ~/.local/share/bash-completion/completions/greenroom

            greenroom completion zsh > ~/.zsh/completions/_greenroom

            greenroom completion fish > ~/.config/fish/completions/greenroom.fish

        With the package bash-completion, bash finds the file in its next session. Without that package, or to try it
        out: `source <(greenroom completion bash)`. zsh looks in the folders of $fpath, before `compinit` runs.

        Parameters
        ----------
        shell
            bash, zsh or fish.
        """
        sys.stdout.write(f"{app.generate_completion(shell=shell).rstrip()}\n")

    return completion
