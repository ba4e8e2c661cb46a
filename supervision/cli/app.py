"""App: all commands, and the exit code of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from ...persistence.errors import GreenroomError
from ..printable import printable
from .commands import actors as actor_commands
from .commands import (
    checks,
    db,
    dead,
    incidents,
    init,
    letters,
    messages,
    run,
    supervising,
    timers,
    trees,
)
from .commands.comparing import fill_in
from .commands.completion import completion_of
from .exit_codes import CODES_HELP, ExitCode, code_of
from .process.log import set_up_log
from .view.output import write_anything
from .view.target import UsageWrong

__all__ = ("app", "main")


def _version() -> str:
    from importlib.metadata import version

    return version("greenroom")


app = App(
    name="greenroom",
    help=f"""Durable actors with supervision trees: run them, look at them, cure them.

Commands about a store find it by `--store URL`, the environment's GREENROOM_STORE__URL, `--tree FILE`, or the
greenroom.toml of the working directory. They work beside a running node and, but for `ask`, without one. Data goes to
stdout, anything else to stderr.

{CODES_HELP}""",
    help_format="markdown",
    version=_version,
)
app.command(run.run)
app.command(checks.check)
app.command(checks.config)
app.command(trees.tree)
app.command(actor_commands.actors)
for order in (supervising.stop, supervising.start, supervising.restart, supervising.delete):
    actor_commands.actors.command(order)
app.command(messages.messages)
app.command(dead.dead)
app.command(timers.timers)
app.command(incidents.incidents)
app.command(letters.send)
app.command(letters.ask)
app.command(db.db)
app.command(init.init)
app.command(completion_of(app))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors go to stderr, in words.

    Args:
        arguments: without the name of the program; by default those of this process.
    """
    write_anything()
    set_up_log("normal")
    try:
        given = [*(sys.argv[1:] if arguments is None else arguments)]
        _check_readable(given)
        command, bound, _ = app.parse_args(fill_in(given), exit_on_error=False, print_error=False)
        result = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except CycloptsError as error:
        return _failed(f"{error}\nTry: greenroom --help", ExitCode.USAGE)
    except UsageWrong as error:
        return _failed(str(error), ExitCode.USAGE)
    except GreenroomError as error:
        return _failed(str(error), code_of(error))
    except BrokenPipeError:  # `greenroom dead list | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return int(result) if isinstance(result, int) else ExitCode.DONE


def _check_readable(arguments: Sequence[str]) -> None:
    """
    Raises:
        UsageWrong: an argument is no text in the encoding of the system, so that it can't be stored or looked for.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            why = f"has bytes that are no {sys.getfilesystemencoding()}, the encoding of this system"
            raise UsageWrong(f"the argument {argument!r} {why}. Write it in that encoding") from None


def _failed(text: str, code: ExitCode) -> int:
    sys.stderr.write(f"greenroom: {printable(text.strip())}\n")
    return code
