"""Building a reference that outlives its run: versions in a folder, for the lots to come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from residue_batch import built, photo
from residue_batch.artefacts import build, lay_out
from residue_batch.building import Building
from residue_batch.built import Built
from residue_batch.config import BoardShots, BoardType, Cluster, Lot, load_board_type, load_lot, scan
from residue_batch.errors import ConfigError, Problem
from residue_batch.files import PhotoFile
from residue_batch.prepare import cards_of, sets_for
from residue_batch.workers import clients, executor_of


def build_reference(
    lot: str | Path,
    out: str | Path,
    *,
    board_type: str | Path | None = None,
    workers: int | None = None,
    cluster: str | Path | Cluster | None = None,
    sets: Sequence[str] = (),
) -> tuple[Built, bool]:
    """Build the reference of a board type from the shots of a lot, as the next version in a folder.

    Parameters
    ----------
    lot
        A name or a path.
    out
        The folder of versions: ``v1``, ``v2`` ... A version never changes.
    board_type
        Which type, if the lot has several or names none.
    workers, cluster
        As for ``run``.

    Returns
    -------
    The reference, and whether it is new: what is built again from the same shots is the same.

    Raises
    ------
    ConfigError, ClusterError
    Refusal
        ``lot_reference``: too few shots, or they disagree.
    """
    loaded, chosen, boards = _boards(lot, board_type, sets)
    if chosen.frame_image is None:
        remedy = "add 'frame: <photograph>'; a sharp shot of any board of this type will do, clean or not"
        raise ConfigError(chosen.problem((), "a reference needs a frame to lay the shots over", remedy, at="key"))
    frame = PhotoFile(chosen.frame_image, photo.hash_file(chosen.frame_image).sha256)
    folder = Path(out).resolve()
    plan, state = lay_out(chosen, frame, boards, folder / ".scratch", cards=cards_of(chosen, loaded))
    new = False

    def write(state: Building) -> Built:
        nonlocal new
        found, new = built.write_version(folder, state)
        return found

    with clients(workers, cluster, sets) as client:
        return build(plan, state, executor_of(client), write), new


def _boards(
    lot: str | Path, board_type: str | Path | None, sets: Sequence[str]
) -> tuple[Lot, BoardType, list[BoardShots]]:
    """The lot, the board type, and the boards of the lot that are of it."""
    loaded, given = load_lot(str(lot), sets_for(sets, "lot")), sets_for(sets, "board_type")
    wanted = load_board_type(str(board_type), given) if board_type is not None else None
    # all shots of a pattern are of one type, which the call names above the lot, as for a run
    if board_type is not None and loaded.manifest is None:
        loaded = loaded.model_copy(update={"board_type": str(board_type)})
    usable = scan(loaded).usable
    types = {name: load_board_type(name, given) for name in sorted({shots.board_type for shots in usable}) if name}
    names = [name for name, one in types.items() if wanted is None or one.board_type == wanted.board_type]
    known = ", ".join(sorted(one.board_type for one in types.values())) or "none"
    if wanted is not None and not names:
        message = f"the lot has no board of type {wanted.board_type!r}"
        raise ConfigError(Problem(message, remedy=f"its board types: {known}"))
    if len(names) != 1:
        message = "a reference is built for one board type"
        raise ConfigError(Problem(message, remedy=f"name it with --board-type; the lot's board types: {known}"))
    return loaded, types[names[0]], [shots for shots in usable if shots.board_type == names[0]]
