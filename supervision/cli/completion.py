"""`understudy completion`: what a shell needs to complete understudy's commands and options."""

from __future__ import annotations

import sys
from typing import Literal

__all__ = ("completion",)

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell, /) -> None:
    """Print a script that completes commands and options in a shell.

    For example:

        understudy completion bash > ~/.local/share/bash-completion/completions/understudy

        understudy completion zsh > ~/.zsh/completions/_understudy

        understudy completion fish > ~/.config/fish/completions/understudy.fish

    bash takes it from there in its next session, with the package bash-completion; without, and to try it out:
    `source <(understudy completion bash)`. zsh looks in the folders of $fpath, before `compinit` runs.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from .app import app  # which has this command, too

    sys.stdout.write(f"{app.generate_completion(shell=shell).rstrip()}\n")
