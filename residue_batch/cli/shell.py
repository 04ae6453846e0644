"""What all commands share: options, and how an error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import rich_click as click
from rich_click import RichGroup

from residue_batch.cli.show import complain, plural, say, write_json
from residue_batch.errors import ConfigError, Problem, Refusal, ResidueError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
BUG, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141

F = TypeVar("F", bound=Callable[..., Any])


def shared(*, json: bool = True) -> Callable[[F], F]:
    """The options that every command has."""

    def add(function: F) -> F:
        if json:
            function = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)
        # read from the arguments by Commands.main: a wrong command line has no context yet
        return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(
            function
        )

    return add


def settings(function: F) -> F:
    """``--set key=value``, as often as wanted."""
    text = "Change a key of the YAML, e.g. planes.residue.level=0.1, lot.root=photos, board_type.pixel_size_um=20."
    return click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help=text)(function)


class Commands(RichGroup):
    """A group whose commands return their exit code and whose errors end without a traceback."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002  (click's own signature)
        **extra: Any,
    ) -> None:
        """Run a command and leave with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        debug, as_json = "--debug" in given, "--json" in given
        try:
            code = super().main(given, prog_name or "residue", complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # whoever reads has enough; python must not complain about it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = BROKEN_PIPE
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            code = _explain(error, debug=debug, as_json=as_json)
        sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException, *, debug: bool, as_json: bool) -> int:
    """Say what went wrong, and return the exit code."""
    problems: tuple[Problem, ...] = ()
    kind, code, remedy = type(error).__name__, USAGE, ""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        kind, code, message = "Interrupted", INTERRUPTED, "interrupted; the same command resumes"
    elif isinstance(error, click.ClickException):
        message = error.format_message()
        if isinstance(error, click.UsageError) and error.ctx is not None:
            remedy = f"see '{error.ctx.command_path} --help'"
    elif isinstance(error, ConfigError):
        problems, code, message = error.problems, error.exit_code, plural(len(error.problems), "mistake")
    elif isinstance(error, Refusal):
        code, message, remedy = error.exit_code, f"{error.reason}: {error.message}", error.remedy
    elif isinstance(error, ResidueError):
        code, message = error.exit_code, str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    else:
        code, message = BUG, f"this is a bug: {type(error).__name__}: {error}"
        remedy = "" if debug else "the same command with --debug shows the traceback"
    if debug:
        say("".join(traceback.format_exception(error)).rstrip())
    if len(problems) == 1 and not problems[0].file:
        complain(problems[0].message, remedy=problems[0].remedy)
    else:
        complain(message, problems, remedy)
    if as_json:
        shown = [p.__dict__ for p in problems]
        write_json(
            {"error": {"kind": kind, "message": message, "remedy": remedy, "problems": shown}, "exit_code": code}
        )
    return code
