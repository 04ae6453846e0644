"""The command line: words in, tables or one JSON document out.

Nothing heavy is imported here: every command imports what it needs when it is
called, so that ``--help``, ``check``, ``schema``, ``new`` and ``steps`` answer at once.
"""

from __future__ import annotations

import rich_click as click

from residue_batch import __version__
from residue_batch.cli.comparing import COMMANDS as COMPARING
from residue_batch.cli.configuration import COMMANDS as CONFIGURATION
from residue_batch.cli.demonstration import COMMANDS as DEMONSTRATION
from residue_batch.cli.measuring import COMMANDS as MEASURING
from residue_batch.cli.references import COMMANDS as REFERENCES
from residue_batch.cli.registry import COMMANDS as REGISTRY
from residue_batch.cli.runs import COMMANDS as RUNS
from residue_batch.cli.shell import CONTEXT, Commands, shared
from residue_batch.cli.speed import COMMANDS as SPEED
from residue_batch.cli.trusting import COMMANDS as TRUSTING

PANELS = {
    "Begin": ("demo", "new", "check", "try"),
    "Measure": ("lot", "reference", "plan", "bench", "run", "status", "report"),
    "Before a night": ("blanks", "nullcheck", "selftest"),
    "Look up": ("compare", "steps", "schema"),
}
EXIT_CODES = (
    "Exit codes, the first that applies: 1 a bug, 2 wrong usage or configuration, 4 another run writes the same "
    "directory, 5 the cluster was lost, 130 interrupted (after 5 and 130 the same command resumes), "
    "6 a limit was not met, 3 finished with boards that have no number, 0 done."
)


@click.group(cls=Commands, context_settings=CONTEXT, epilog=EXIT_CODES)
@click.command_panel("Begin", commands=list(PANELS["Begin"]))
@click.command_panel("Measure", commands=list(PANELS["Measure"]))
@click.command_panel("Before a night", commands=list(PANELS["Before a night"]))
@click.command_panel("Look up", commands=list(PANELS["Look up"]))
@click.version_option(__version__, prog_name="residue")
@shared(json=False)
def residue() -> None:
    """How much flux residue did the cleaner remove? From photographs before and after.

    Begin with 'residue demo'. Data goes to stdout, everything else to stderr;
    every command has --json.
    """


for command in (
    *CONFIGURATION,
    *REGISTRY,
    *MEASURING,
    *REFERENCES,
    *COMPARING,
    *RUNS,
    *TRUSTING,
    *SPEED,
    *DEMONSTRATION,
):
    residue.add_command(command)


def main() -> None:
    """Run the command ``residue``."""
    residue.main(prog_name="residue")


__all__ = ["main", "residue"]
