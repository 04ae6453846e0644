"""A program as a dask.array graph through dask-image: for notebooks, and compared with the tile program in CI.

The two shots are registered and brought into one light at once; every plane
after that is a dask array that computes the chunks one looks at:

>>> from residue_batch.lazy import lazy_record, match_pair, open_lazily
>>> planes = open_lazily(board_type, before, after, "flux_residue", chunks=256)
>>> planes.opacity.dims
('phase', 'y', 'x')
>>> corner = planes.opacity.sel(phase="before")[:64, :64].compute()  # one chunk, not the board
>>> corner.shape, corner.dtype
((64, 64), dtype('float32'))
>>> load = planes.opacity.where(planes.observable).mean(("y", "x")).compute()
>>> removed = 100 * (1 - float(load.sel(phase="after") / load.sel(phase="before")))

A node of the program is one ``map_overlap`` of the very function that tiles
run, with its halo as the depth and nothing beyond the frame's edge: the same
planes bit for bit, whatever the chunks. ``lazy_record`` reduces them to the
same numbers:

>>> record = lazy_record(match_pair(board_type, before, after, "flux_residue")).compute()
>>> record["outcome"], abs(record["values"]["load_reduction_pct"][0] - removed) < 0.01
('measured', True)

``oracle_planes`` makes planes again, through dask-image. A board is hundreds of tasks here, one in a run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from dask import delayed
from dask.base import tokenize
from dask_image import ndfilters, ndmorph

from residue_batch import photo
from residue_batch.board import Board, plan_board, scene_of, sources_of
from residue_batch.compiler import keeping_all
from residue_batch.config import load_board_type, load_workflow
from residue_batch.errors import UsageError
from residue_batch.evidence import evidence_tile
from residue_batch.files import PhotoFile
from residue_batch.geometry import Array, Box
from residue_batch.outcome import Record, conclude
from residue_batch.prepare import check_scene, sets_for, setting_of
from residue_batch.program import BEFORE, BUILTINS, PHASES, Key, Node
from residue_batch.scene import Scene
from residue_batch.step import Kind, floats, full_scale
from residue_batch.tally import Tally, merge_all
from residue_batch.tile import MAKERS, Sources, measure_tile

Grid = tuple[tuple[int, ...], tuple[int, ...]]  # heights and widths of the chunks of the frame
Planes = dict[Key, da.Array]
Oracles = Mapping[str, Callable[..., da.Array]]

_TALLY = {"dtype": object, "meta": np.empty((0, 0), object)}
# what a process keeps of scenes and photographs is made for one thread
_alone = threading.Lock()


class _Ground(NamedTuple):
    """What all planes of a board stand on."""

    board: Board
    scene: Scene
    grid: Grid
    mark: str  # ends every name in the graph: equal boards share their tasks
    sources: Any  # one task that decodes the shots; built-in planes read it


def match_pair(
    board_type: str | Path,
    before: str | Path,
    after: str | Path,
    workflow: str | Path = "flux_residue",
    *,
    sets: Sequence[str] = (),
    keep_all: bool = False,
) -> Board:
    """A board whose two shots are read, registered and brought into one light.

    Parameters
    ----------
    board_type, workflow
        A name or a path each.
    sets
        ``key=value`` settings above all files.
    keep_all
        Keep every plane of the workflow, also those that no measure reads.
    """
    loaded = load_workflow(str(workflow), sets_for(sets, "workflow"))
    if keep_all:
        loaded = keeping_all(loaded)
    setting = setting_of(load_board_type(str(board_type), sets_for(sets, "board_type")), loaded)
    files = (PhotoFile(str(before)), PhotoFile(str(after)))
    board = Board(Path(before).stem, "lazy", setting, dict(zip(PHASES, files, strict=True)))
    with _alone:
        check_scene(setting)
        for stage in plan_board(board).stages[:2]:  # open, match
            board = stage.then(board, reduce(stage.merge, [stage.function(board, item) for item in stage.items]))
    return board


def _scene(board: Board) -> Scene:
    with _alone:
        return scene_of(board.setting, board.shots[BEFORE])


def _locked_sources(board: Board) -> Sources:
    with _alone:
        return sources_of(board)


def _ground(board: Board, chunks: int) -> _Ground:
    if chunks < 1:
        raise UsageError(f"chunks is {chunks}; a chunk has 1 px or more")
    if set(board.matches) != set(PHASES):
        raise UsageError(f"board {board.name!r} is not matched yet: take the board of match_pair")
    scene = _scene(board)
    least = max(node.halo for node in board.setting.program.nodes.values())
    grid = (_split(scene.shape[0], chunks, least), _split(scene.shape[1], chunks, least))
    mark = tokenize(board.key, dict(board.matches), grid)
    return _Ground(board, scene, grid, mark, delayed(_locked_sources)(board, dask_key_name=f"sources-{mark}"))


def _split(length: int, size: int, least: int) -> tuple[int, ...]:
    """Chunks along an axis, none smaller than a halo: it must not reach beyond the neighbour."""
    size = max(size, least)
    parts = [min(size, length - start) for start in range(0, length, size)]
    if len(parts) > 1 and parts[-1] < least:
        parts[-2:] = [sum(parts[-2:])]
    return tuple(parts)


def lazy_planes(board: Board, *, chunks: int = 512) -> Planes:
    """Every plane of a board's program as a dask array.

    Parameters
    ----------
    board
        Opened and matched: of ``match_pair``, or from between the stages of a plan.
    chunks
        Side of a chunk in px, at least the largest halo of a step; a last chunk
        smaller than that joins the one before.

    Returns
    -------
    Scalar planes and masks are (y, x), colours (c, y, x), white (c,).
    """
    return _planes(_ground(board, chunks))


def _planes(ground: _Ground) -> Planes:
    planes: Planes = {}
    for node in ground.board.setting.program.nodes.values():
        planes |= {node.key: _plane(ground, node, planes)}
    return planes


def _plane(ground: _Ground, node: Node, planes: Planes) -> da.Array:
    board, scene, grid, mark, sources = ground
    if node.kind == Kind.WHITE:
        return da.from_array(scene.white, name=f"{node.key}-{mark}")
    code = photo.read_header(board.shots[node.key.phase].path).dtype if node.kind == Kind.RAW else ""
    dtype = np.dtype(code or {Kind.MASK: "bool", Kind.LIGHT: "uint16"}.get(node.kind, "float32"))
    depths = ((scene.channels,),) if node.kind in (Kind.COLOUR, Kind.RAW, Kind.LIGHT) else ()
    reads = _flat(planes, node.reads)
    given = {"node": node, "grid": grid, "white": scene.white, "reads": reads}
    given |= {"name": f"{node.key}-{mark}", "dtype": dtype, "meta": np.empty((0,) * (len(depths) + 2), dtype)}
    if node.step is None:
        given["sources"] = sources
    elif node.fit:
        tally = _tally(ground, planes, (fit := board.setting.program.nodes[node.fit]).reads, fit)
        given["fitted"] = delayed(node.step.decide)(tally, scene.shape, dask_key_name=f"decide-{fit.key}-{mark}")
    if not reads:
        return da.map_blocks(_make, chunks=depths + grid, **given)
    arrays = [planes[key] for key in reads]
    halos = [{a.ndim - 2: node.halo, a.ndim - 1: node.halo} for a in arrays]
    if not depths and any(a.ndim > 2 for a in arrays):
        given["drop_axis"] = 0
    # boundary none: halos end at the frame's edge, as those of tiles do
    return da.map_overlap(
        _make, *arrays, depth=halos, boundary="none", allow_rechunk=False, align_arrays=False, **given
    )


def _flat(planes: Planes, keys: Sequence[Key]) -> tuple[Key, ...]:
    """Each plane once, without ``white``, which has no pixels."""
    return tuple(key for key in dict.fromkeys(keys) if planes[key].ndim > 1)


def _box(grid: Grid, place: Sequence[int]) -> Box:
    """The chunk of this row and column, in the frame."""
    (rows, columns), (i, j) = grid, place[-2:]
    return Box(sum(rows[:i]), sum(columns[:j]), sum(rows[: i + 1]), sum(columns[: j + 1]))


def _make(
    *arrays: Array,
    node: Node,
    grid: Grid,
    white: Array,
    reads: tuple[Key, ...],
    block_id: tuple[int, ...],
    sources: Sources | None = None,
    fitted: Any = None,
) -> Array:
    """One chunk of a plane with its halo: what a tile does at this node."""
    frame = (sum(grid[0]), sum(grid[1]))
    reach = _box(grid, block_id).grow(node.halo, Box.whole(frame))
    assert all(array.shape[-2:] == reach.shape for array in arrays)
    planes = dict(zip(reads, arrays, strict=True))

    def read(key: Key) -> Array:
        return planes.get(key, white)

    if node.step is None:
        assert sources is not None
        return MAKERS[node.key.plane](sources, node, reach, read)
    where = planes[node.where] if node.where else None
    return floats(node.step(*map(read, node.inputs), where=where, at=reach, frame=frame, fitted=fitted))


def _tally(ground: _Ground, planes: Planes, keys: Sequence[Key], node: Node | None) -> Any:
    """The merged tally of a node's fit, or of all measures, as a delayed value."""
    reads = _flat(planes, keys)
    arrays = [planes[key] for key in reads]
    parts = da.map_blocks(
        _part,
        *arrays,
        chunks=tuple((1,) * len(sizes) for sizes in ground.grid),
        drop_axis=0 if any(a.ndim > 2 for a in arrays) else None,
        name=f"tally-{node.key if node else 'measures'}-{ground.mark}",
        node=node,
        grid=ground.grid,
        reads=reads,
        sources=ground.sources,
        **_TALLY,
    )
    merged = da.reduction(parts, _merged, _merged, combine=_merged, keepdims=True, split_every=4, **_TALLY)
    # not delayed(merged), which would compute all planes of its own once more
    return merged.to_delayed(optimize_graph=False)[0, 0][0, 0]


def _part(
    *arrays: Array, node: Node | None, grid: Grid, reads: tuple[Key, ...], block_id: tuple[int, ...], sources: Sources
) -> Array:
    planes, tile = dict(zip(reads, arrays, strict=True)), _box(grid, block_id)
    planes[Key("white")] = sources.scene.white
    if node is None:
        return _cell(measure_tile(sources, tile, planes) | evidence_tile(sources, tile, planes))
    assert node.step is not None
    inputs, where = (planes[key] for key in node.inputs), planes[node.where] if node.where else None
    return _cell(node.step.fit_chunk(*inputs, where=where, at=tile, frame=sources.scene.shape))


def _cell(tally: Tally) -> Array:
    cell = np.empty((1, 1), object)
    cell[0, 0] = tally
    return cell


def _merged(cells: Array, **_: Any) -> Array:
    return _cell(merge_all(cells.ravel()))


def lazy_measures(board: Board, *, chunks: int = 512) -> Any:
    """The tally of a board's measures, as a delayed value; ``tiles`` in it counts chunks."""
    ground, program = _ground(board, chunks), board.setting.program
    read = [program.excluded, [Key("reference")] if program.reference == "pair" else []]
    read += [(*keys, where) for measured in program.measures for _, keys, where in measured.inputs]
    return _tally(ground, _planes(ground), [Key("observable"), *chain(*read)], None)


def lazy_record(board: Board, *, chunks: int = 512) -> Any:
    """The record of a board, as the tile program makes it, delayed; a ``Refusal`` is raised when it is computed."""
    return delayed(_concluded)(board, lazy_measures(board, chunks=chunks))


def _concluded(board: Board, tally: Tally) -> Record:
    return conclude(board, _scene(board), tally, int(tally["tiles"]))


def open_lazily(
    board_type: str | Path,
    before: str | Path,
    after: str | Path,
    workflow: str | Path = "flux_residue",
    *,
    chunks: int = 512,
    sets: Sequence[str] = (),
) -> xr.Dataset:
    """Two shots as a dataset of every plane of a workflow, computed where one looks.

    Dims are phase, c, y, x, as far as a plane has them; ``regions`` has the areas of the board type.
    """
    return lazy_dataset(match_pair(board_type, before, after, workflow, sets=sets, keep_all=True), chunks=chunks)


def lazy_dataset(board: Board, *, chunks: int = 512) -> xr.Dataset:
    """The planes of a matched board by name; a plane of one phase only is named as in YAML, ``opacity.before``."""
    ground = _ground(board, chunks)
    planes, scene, nodes = _planes(ground), ground.scene, board.setting.program.nodes
    colours = ["red", "green", "blue"] if scene.channels == 3 else ["grey"]
    bits = da.from_array(scene.mask, chunks=ground.grid)
    regions = da.stack([bits >> i & 1 != 0 for i in range(len(scene.regions))])
    found: dict[str, Any] = {"regions": (("region", "y", "x"), regions)}
    for key, node in nodes.items():
        pair = [planes[k] for k in (Key(key.plane, phase) for phase in PHASES) if k in planes]
        dims = ("c",) if node.kind == Kind.WHITE else ("c", "y", "x")[-planes[key].ndim :]
        how = {"step": node.step.name} | dict(node.step.parameters) if node.step else {}
        attributes = how or {"long_name": BUILTINS[key.plane].meaning}
        if len(pair) == len(PHASES):
            found[key.plane] = (("phase", *dims), da.stack(pair), attributes)
        else:
            found[str(key)] = (dims, planes[key], attributes)
    pixels = {d: (d, np.arange(size), {"units": "px"}) for d, size in zip("yx", scene.shape, strict=True)}
    names = {"phase": list(PHASES), "c": colours, "region": list(scene.regions)}
    return xr.Dataset(found, names | pixels, {"board": board.name, "workflow": board.setting.program.name})


def _footprint(radius: float, shape: str) -> Array:
    offsets = np.arange(-int(radius + 1e-6), int(radius + 1e-6) + 1)
    return np.asarray((np.hypot(offsets[:, None], offsets) <= radius + 1e-6) | (shape == "square"))


def _grown(mask: da.Array, radius: float, shape: str = "disc", **_: Any) -> da.Array:
    return ndmorph.binary_dilation(mask, structure=_footprint(radius, shape))


def _shrunk(mask: da.Array, radius: float, shape: str = "disc", **_: Any) -> da.Array:
    return ndmorph.binary_erosion(mask, structure=_footprint(radius, shape), border_value=1)


def _glare(raw: da.Array, reference: da.Array, above: float, grow: float, metal_above: float, **_: Any) -> da.Array:
    metal = reference.min(axis=0) > metal_above if metal_above > 0 else True
    return _grown((raw.min(axis=0) > np.floor(above * full_scale(raw))) & metal, grow)


def _blurred(plane: da.Array, sigma: float) -> da.Array:
    return ndfilters.gaussian_filter(plane.astype(np.float64), sigma, mode="constant", truncate=4.0)


def _gaussian(plane: da.Array, where: da.Array, sigma: float) -> da.Array:
    weight = _blurred(where, sigma)
    return da.where(weight > 0, _blurred(da.where(where, plane, 0), sigma) / da.maximum(weight, 1e-30), 0)


def _bases(length: int, size: int) -> tuple[Array, Array]:
    """(pixels, cells): how much a pixel counts for a cell, and a cell for a pixel: a hat and a quadratic B-spline."""
    off = np.abs((np.arange(length)[:, None] + 0.5) / size - 0.5 - np.arange(-1, -(-length // size) + 1))
    spline = np.where(off <= 0.5, 0.75 - off**2, 0.5 * np.clip(1.5 - off, 0, None) ** 2)
    return np.clip(1 - off, 0, None), spline


def _background(plane: da.Array, where: da.Array, cell: float, sigma: float) -> da.Array:
    size = int(cell + 0.5)
    spread = (sigma**2 - size**2 * 5 / 12) ** 0.5 / size
    (rows, down), (columns, across) = (_bases(length, size) for length in plane.shape)
    cells = [rows.T @ v.astype(np.float64).rechunk(-1) @ columns for v in (da.where(where, plane, 0), where)]
    total, weight = (down @ _blurred(grid, spread) @ across.T for grid in cells)
    return da.where(weight > 0, total / da.maximum(weight, 1e-30), 0).rechunk(plane.chunks)


ORACLES: Oracles = {
    "dilate": _grown,
    "erode": _shrunk,
    "open": lambda mask, **how: _grown(_shrunk(mask, **how), **how),
    "close": lambda mask, **how: _shrunk(_grown(mask, **how), **how),
    "glare": _glare,
    "gaussian": _gaussian,
    "background": _background,
}
"""Step -> the same through dask-image: ``oracle(*inputs, where=, **parameters)`` on whole dask arrays."""


def oracle_planes(board: Board, *, chunks: int = 512, oracles: Oracles = ORACLES) -> Planes:
    """The planes of those steps that have an oracle (``ORACLES``), made by it, in float64.

    Each is made of the planes that the step itself reads, so that a difference is that of one kernel. Masks are
    equal. Smooth planes differ in the last digits: kernels add in float32 and in an order of their own, so that
    every tiling gives the same bits, and ``background`` sums in steps of 1/65536.
    """
    planes, found = lazy_planes(board, chunks=chunks), {}
    for key, node in board.setting.program.nodes.items():
        if node.step is not None and node.step.name in oracles:
            where = planes[node.where] if node.where else None
            inputs = (planes[k] for k in node.inputs)
            found[key] = oracles[node.step.name](*inputs, where=where, **dict(node.step.parameters))
    return found
