"""`greenroom completion`: what a shell needs to complete greenroom's commands and options."""

from __future__ import annotations

import sys
from typing import Literal

__all__ = ("completion",)

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell, /) -> None:
    """Print a script that completes commands and options in a shell.

    For example:

        greenroom completion bash > ~/.local/share/bash-completion/completions/greenroom

        greenroom completion zsh > ~/.zsh/completions/_greenroom

        greenroom completion fish > ~/.config/fish/completions/greenroom.fish

    bash takes it from there in its next session, with the package bash-completion; without, and to try it out:
    `source <(greenroom completion bash)`. zsh looks in the folders of $fpath, before `compinit` runs.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from ..app import app  # which has this command, too

    sys.stdout.write(f"{app.generate_completion(shell=shell).rstrip()}\n")
