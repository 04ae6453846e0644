"""The command line: words in, tables or one JSON document out.

Nothing heavy is imported here: every command imports what it needs when it is
called, so that ``--help``, ``check``, ``schema``, ``new`` and ``steps`` answer at once.
"""

from __future__ import annotations

import rich_click as click

from residue_batch import __version__
from residue_batch.cli import configuration, demo, measuring, registry, runs
from residue_batch.cli.shell import CONTEXT, Commands, shared

PANELS = {
    "Start": ("demo", "new", "check", "try"),
    "Measure": ("lot", "plan", "run"),
    "Look": ("status", "report"),
    "Look up": ("steps", "schema"),
}
EXIT_CODES = """\
\b
Exit codes, the first that applies:
  1    a bug; --debug shows the traceback
  2    wrong usage or configuration
  4    another run writes the same directory
  5    the cluster was lost or makes no progress; the same command resumes
  130  interrupted; the same command resumes
  6    a limit of the workflow was not met
  3    finished, but some boards have no number
  0    done
"""


@click.group(cls=Commands, context_settings=CONTEXT, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="residue")
@shared(json=False)
def residue() -> None:
    """How much flux residue did the cleaner remove? From photographs before and after.

    Begin with 'residue demo'. Data goes to stdout, everything else to stderr;
    every command has --json.
    """


for command in (*configuration.COMMANDS, *registry.COMMANDS, *measuring.COMMANDS, *runs.COMMANDS, *demo.COMMANDS):
    residue.add_command(command)


def main() -> None:
    """Run the command ``residue``."""
    residue.main(prog_name="residue")


__all__ = ["main", "residue"]
