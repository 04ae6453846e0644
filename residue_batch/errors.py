"""What can go wrong, as a tree.

    ResidueError                      base of everything this package raises on purpose
    ├── ConfigError (ValueError)      YAML that cannot be used; carries one Problem per mistake
    │   └── WorkflowError             planes that dangle, cycle or do not fit together
    ├── UsageError (ValueError)       a wrong argument on the command line or in a call
    ├── LockedError (RuntimeError)    another run writes this directory
    ├── StaleRunError (RuntimeError)  a run directory that belongs to other versions
    ├── ClusterError (RuntimeError)   the cluster was lost or makes no progress
    └── Refusal (RuntimeError)        this board has no number; carries its outcome

A Refusal never leaves the board it belongs to: the driver turns it into a row.
"""

from __future__ import annotations

from dataclasses import dataclass


class ResidueError(Exception):
    """Base of every error raised on purpose; its text is written for the user."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration file, with the place where it stands.

    ``line`` and ``column`` count from 1; 0 means the whole file.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    remedy: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        text = place + self.message
        if self.excerpt:
            text += f"\n    {self.excerpt}\n    {' ' * max(self.column - 1, 0)}^"
        if self.remedy:
            text += f"\n    {self.remedy}"
        return text


class ConfigError(ResidueError, ValueError):
    """A configuration that cannot be used, with every mistake that was found in it."""

    def __init__(self, problems: Problem | tuple[Problem, ...] | list[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


class WorkflowError(ConfigError):
    """Planes that dangle, cycle, are defined twice or do not fit together."""


class UsageError(ResidueError, ValueError):
    """A wrong argument."""


class LockedError(ResidueError, RuntimeError):
    """Another process writes this run directory."""

    exit_code = 4


class StaleRunError(ResidueError, RuntimeError):
    """The run directory was written by other library versions."""


class ClusterError(ResidueError, RuntimeError):
    """The cluster was lost or makes no progress; the run can be resumed."""

    exit_code = 5


class Refusal(ResidueError, RuntimeError):  # noqa: N818  an outcome more than an error
    """A board has no number, and why.

    Parameters
    ----------
    reason
        One word of the controlled list, e.g. ``unreadable``, ``registration``.
    message
        What was found, with the file.
    remedy
        What the operator can do.
    """

    exit_code = 3

    def __init__(self, reason: str, message: str, remedy: str = "") -> None:
        self.reason, self.message, self.remedy = reason, message, remedy
        super().__init__(f"{reason}: {message}" + (f" ({remedy})" if remedy else ""))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.message, self.remedy)
