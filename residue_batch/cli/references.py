"""Commands about references that are built from lots: reference build, reference show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from residue_batch.cli.shell import settings, shared
from residue_batch.cli.show import out, pairs, plural, say, table, write_json

if TYPE_CHECKING:
    from residue_batch.built import Built


@click.group
@shared(json=False)
def reference() -> None:
    """Build the clean reference of a board type from the shots of a lot, or look at one."""


@reference.command("build")
@click.option("--lot", required=True, metavar="LOT", help="The lot whose shots are used, before and after.")
@click.option("--board-type", metavar="NAME",
              help="The type of every board, above what the lot says; with several in a manifest, which.")  # fmt: skip
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Where versions are written: v1, v2 ...")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Local workers; 0: here, without Dask.")
@click.option("--cluster", metavar="NAME", help="A cluster file, or the address of a scheduler.")
@settings
@shared()
def build(
    lot: str,
    board_type: str | None,
    folder: Path,
    workers: int | None,
    cluster: str | None,
    sets: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Build a reference that other lots can use; a board type names it with 'built:'.

    The same shots give the same reference, and no new version. Ends with 3 if
    the shots are too few or disagree, and says why.
    """
    from residue_batch import api

    say(f"building a reference from the shots of {lot}; that takes about as long as to measure them")
    built, new = api.build_reference(lot, folder, board_type=board_type, workers=workers, cluster=cluster, sets=sets)
    if as_json:
        write_json({"folder": built.folder, "new": new, **built.provenance, "exit_code": 0})
        return 0
    _show(built)
    if not new:
        say("nothing differs from the newest version: no new one was written")
    say(f"a board type uses it with 'reference: lot' and 'built: {built.folder}'")
    return 0


@reference.command("show")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@shared()
def show(folder: Path, *, as_json: bool) -> int:
    """What a built reference was made of, and how well its shots agree.

    Ends with 3 if it was changed since it was built.
    """
    from residue_batch.built import PROVENANCE, read, versions
    from residue_batch.errors import UsageError

    if not (folder / PROVENANCE).is_file():
        named = ", ".join(str(folder / f"v{number}") for number in versions(folder))
        remedy = f"name one of its versions: {named}" if named else "see --out of 'residue reference build'"
        raise UsageError(f"{folder} is no built reference: there is no {PROVENANCE}; {remedy}")
    built = read(folder)
    if as_json:
        write_json({"folder": built.folder, **built.provenance, "exit_code": 0})
        return 0
    _show(built)
    return 0


def _show(built: Built) -> None:
    left_out = built.left_out
    agreement = built.provenance["agreement"]
    pairs(
        {
            "reference": built.folder,
            "board type": built.provenance["board_type"],
            "digest": built.provenance["digest"],
            "shots": f"{plural(len(built.shots) - len(left_out), 'shot')} used, {len(left_out)} left out",
            "spread": f"{agreement['spread']:.4f} of opacity between the reference and the lower quarter of the shots",
            "unseen": f"{agreement['unseen_pct']:.1f} % of the outline",
        }
    )
    if left_out:
        rows = [[shot["board"], shot["phase"], shot["reason"], shot["message"]] for shot in left_out]
        table(["left out", "phase", "reason", "what was found"], rows)
    out(built.picture.path)


COMMANDS = (reference,)
