"""The same bits from every executor, tile size and number of workers."""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import reduce
from pathlib import Path

import cv2
import pytest
import small
from distributed import Client, LocalCluster
from small import EVERY_STEP, FITTED, FLUX, HALO, SHAPE, SmallLot

from residue_batch.board import Board, plan_board
from residue_batch.canonical import canonical
from residue_batch.engine.driver import drive
from residue_batch.engine.graph import run_graph
from residue_batch.engine.inline import identify, run_inline
from residue_batch.outcome import Record

# the frame is 360 x 480: none but 1024 and 2048 holds it whole, and none divides it
TILES = (64, 128, 192, 320, 1024, 2048)

VARIANTS = {
    "fitted, colour, golden": (FITTED, "rgb8", "golden"),
    "fitted, grey 16 bit, pair": (FITTED, "grey16", "pair"),
    "halo, colour, pair": (HALO, "rgb8", "pair"),
    "halo, grey, golden": (HALO, "grey8", "golden"),
    "every step, colour, golden": (EVERY_STEP, "rgb8", "golden"),
    "every step, colour 16 bit, golden": (EVERY_STEP, "rgb16", "golden"),
    "every step, colour, pair": (EVERY_STEP, "rgb8", "pair"),
}


@pytest.fixture(scope="session")
def photographs(lot: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """The same pair and its golden shot in colour and grey, of 8 and 16 bit."""
    folder = tmp_path_factory.mktemp("kinds")
    deep = small.make_lot(folder / "deep", boards=1, format="png16")
    found = {}
    for name, source in (("8", lot), ("16", deep)):
        colour = {"golden": source.folder / source.truth.golden, **{p: source.shot(0, p) for p in ("before", "after")}}
        found["rgb" + name] = colour
        found["grey" + name] = {
            part: small.write_image(
                folder / f"grey{name}_{part}.png", cv2.cvtColor(small.read_image(path), cv2.COLOR_BGR2GRAY)
            )
            for part, path in colour.items()
        }
    return found


@functools.cache
def _matched(text: str, kind: str, reference: str, folder: Path, golden: Path, before: Path, after: Path) -> Board:
    """The board after registration and light, which no tile size has a part in."""
    truth = small.make_lot(folder, boards=1).truth
    tone = "tone: srgb" if kind.endswith("16") else ""
    board_type = small.write_type(folder / f"{kind}-{reference}.yaml", truth, reference, tone, str(golden))
    board, _ = identify(small.board(small.setting(board_type, text, 1024), before, after))
    return advance(board, 0, 2)


def advance(board: Board, start: int, stop: int | None) -> Board:
    for stage in plan_board(board).stages[start:stop]:
        board = stage.then(board, reduce(stage.merge, (stage.function(board, item) for item in stage.items)))
    return board


def with_tile(board: Board, tile: int) -> Board:
    return replace(board, setting=replace(board.setting, tile=tile))


def record_of(board: Board) -> str:
    assert board.record is not None
    assert board.record["outcome"] == "measured"
    return canonical(board.record)


@pytest.fixture
def matched(
    request: pytest.FixtureRequest,
    photographs: dict[str, dict[str, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Board:
    text, kind, reference = VARIANTS[request.param]
    folder = tmp_path_factory.getbasetemp() / "types"
    return _matched(text, kind, reference, folder, **photographs[kind])


@pytest.mark.parametrize("matched", VARIANTS, indirect=True)
def test_tile_sizes_give_the_same_record(matched: Board) -> None:
    found = {tile: record_of(advance(with_tile(matched, tile), 2, None)) for tile in TILES}
    assert len(set(found.values())) == 1, [tile for tile in TILES if found[tile] != found[TILES[0]]]


@pytest.mark.parametrize("matched", ["fitted, colour, golden", "every step, colour, pair"], indirect=True)
def test_the_order_of_tiles_does_not_matter(matched: Board) -> None:
    board = with_tile(matched, 128)
    expected = record_of(advance(board, 2, None))
    for stage in plan_board(board).stages[2:]:
        parts = [stage.function(board, item) for item in reversed(stage.items)]
        while len(parts) > 1:  # a tree that leans the other way
            parts = [stage.merge(parts.pop(), parts.pop(0)), *parts] if len(parts) > 2 else [stage.merge(*parts)]
        board = stage.then(board, parts[0])
    assert record_of(board) == expected


@pytest.mark.parametrize("threads", [1, 4])
def test_the_threads_of_opencv_do_not_matter(threads: int, lot: SmallLot, request: pytest.FixtureRequest) -> None:
    before = cv2.getNumThreads()
    request.addfinalizer(lambda: cv2.setNumThreads(before))
    board = small.board(small.setting(lot.board_type, EVERY_STEP, 192), lot.shot(0, "before"), lot.shot(0, "after"))
    cv2.setNumThreads(threads)
    made = record_of(run_inline(plan_board(board), board))
    cv2.setNumThreads(2)
    assert record_of(run_inline(plan_board(board), board)) == made


@pytest.mark.parametrize("variant", ["fitted, colour, golden", "halo, colour, pair", "fitted, grey 16 bit, pair"])
def test_graph_and_board_tasks_give_the_record_of_inline(
    variant: str, request: pytest.FixtureRequest, client: Client, photographs: dict[str, dict[str, Path]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    text, kind, reference = VARIANTS[variant]
    matched = _matched(text, kind, reference, tmp_path_factory.getbasetemp() / "types", **photographs[kind])
    expected = record_of(advance(matched, 2, None))
    fresh = replace(matched, matches={}, shapes={})
    for tile in (128, 512):
        board = with_tile(fresh, tile)
        assert record_of(run_graph(client, plan_board(board), board)) == expected, tile
    done = list(drive(client, [(with_tile(fresh, 192), frozenset())], "inline"))
    assert [canonical(one.record) for one in done] == [expected]


def test_one_worker_and_two_give_the_same_records(lot: SmallLot, client: Client) -> None:
    setting = small.setting(lot.board_type, FLUX, 192)
    work = [
        (small.board(setting, lot.shot(n, "before"), lot.shot(n, "after"), f"B{n}"), frozenset[str]()) for n in range(2)
    ]

    def records(client: Client, executor: str) -> list[Record]:
        done = sorted(drive(client, work, executor), key=lambda one: one.board)
        assert [one.failure for one in done] == ["", ""]
        return [one.record for one in done if one.record]

    expected = records(client, "auto")
    assert [r["outcome"] for r in expected] == ["measured", "measured"]
    assert records(client, "graph") == expected
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as alone,
    ):
        assert records(alone, "inline") == expected
        assert records(alone, "graph") == expected


def test_a_frame_of_many_tiles_of_the_usual_sizes(tmp_path: Path) -> None:
    wide = small.make_lot(tmp_path, boards=1, shape=(560, 1060))
    board = small.board(small.setting(wide.board_type, EVERY_STEP), wide.shot(0, "before"), wide.shot(0, "after"))
    board = advance(identify(board)[0], 0, 2)
    tiles = {tile: plan_board(with_tile(board, tile)).tiles for tile in (512, 1024, 2048)}
    assert tiles == {512: 6, 1024: 2, 2048: 1}
    assert len({record_of(advance(with_tile(board, tile), 2, None)) for tile in tiles}) == 1


@pytest.mark.deep
@pytest.mark.parametrize("bits", ["jpg", "tif16"])
def test_a_large_frame_in_all_the_usual_sizes(tmp_path: Path, bits: str, client: Client) -> None:
    large = small.make_lot(tmp_path, boards=1, shape=(2300, 3100), format=bits, difficulty="hard")
    kind = small.write_type(tmp_path / "t.yaml", large.truth, extra="tone: srgb" if bits == "tif16" else "")
    for text in (EVERY_STEP, FITTED, HALO):
        board = small.board(small.setting(kind, text), large.shot(0, "before"), large.shot(0, "after"))
        found = {
            record_of(run_inline(plan_board(with_tile(board, tile)), with_tile(board, tile)))
            for tile in (512, 1024, 2048, 704)
        }
        board = with_tile(board, 512)
        assert found == {record_of(run_graph(client, plan_board(board), board))}


def test_the_frame_of_these_tests_is_cut_by_every_small_tile() -> None:
    assert all(side % tile for tile in TILES if tile > 128 for side in SHAPE)
