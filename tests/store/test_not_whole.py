"""What is not whole is refused: tiles, planes, boards, names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stored import SHAPE, board, contents, cut, of, write

from residue_batch.errors import UsageError
from residue_batch.geometry import Box
from residue_batch.layout import layout
from residue_batch.program import Key
from residue_batch.step import Kind
from residue_batch.store import close, create, is_complete, read_plane, write_tile
from residue_batch.tally import merge


@pytest.mark.parametrize(
    "tile",
    [
        Box(1, 0, 257, 256),
        Box(0, 0, 128, 256),
        Box(0, 0, 256, 512),
        Box(512, 768, 768, 1024),
        Box(0, 0, 0, 0),
        Box(-256, 0, 0, 256),
        Box(1024, 0, 1280, 256),
    ],
)
def test_a_write_that_is_not_exactly_one_tile_is_refused(tile: Box, tmp_path: Path) -> None:
    create(tmp_path / "b.zarr", of())
    before = contents(tmp_path / "b.zarr")
    planes = {key: np.zeros(tile.shape, bool) for key in of().keys}
    with pytest.raises(UsageError, match="whole shards"):
        write_tile(tmp_path / "b.zarr", of(), tile, planes)
    assert contents(tmp_path / "b.zarr") == before


def test_planes_that_do_not_fit_the_tile_are_refused(tmp_path: Path) -> None:
    create(tmp_path / "b.zarr", of())
    tile = Box(0, 0, 256, 256)
    good = cut(board(), tile)
    bad = (good[Key("edge")][:-1], good[Key("edge")].astype(np.uint8), np.zeros((1, 256, 256), bool))
    for plane in bad:
        with pytest.raises(UsageError, match="edge"):
            write_tile(tmp_path / "b.zarr", of(), tile, good | {Key("edge"): plane})
    del good[Key("observable")]
    with pytest.raises(UsageError, match="observable"):
        write_tile(tmp_path / "b.zarr", of(), tile, good)


def test_nan_is_not_stored_as_a_clean_pixel(tmp_path: Path) -> None:
    create(tmp_path / "b.zarr", of())
    planes = cut(board(), Box(0, 0, 256, 256))
    planes[Key("opacity", "after")][255, 255] = np.nan
    with pytest.raises(FloatingPointError, match="NaN"):
        write_tile(tmp_path / "b.zarr", of(), Box(0, 0, 256, 256), planes)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "b.zarr", of())
    with pytest.raises(UsageError, match="layout"):
        write_tile(tmp_path / "b.zarr", of(tile=512), Box(0, 0, 512, 512), cut(board(), Box(0, 0, 512, 512)))
    with pytest.raises(UsageError, match="layout"):
        close(tmp_path / "nothing.zarr", of(), {})


def test_a_complete_store_is_not_written_into_but_can_be_created_anew(copy: Path) -> None:
    tile = Box(0, 0, 256, 256)
    with pytest.raises(UsageError, match="complete"):
        write_tile(copy, of(), tile, cut(board(), tile))
    create(copy, of())
    assert not is_complete(copy)
    assert [p.name for p in copy.parent.iterdir()] == [copy.name]
    write_tile(copy, of(), tile, cut(board(), tile))


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "zarr.json").write_text("[1]")
    with pytest.raises(UsageError, match="in the way"):
        create(tmp_path / "photos", of())
    assert (tmp_path / "photos" / "zarr.json").exists()


def test_a_board_with_a_missing_or_doubled_tile_is_not_closed(tmp_path: Path) -> None:
    path = tmp_path / "b.zarr"
    tally = write(path, of(), board())
    last = tally.pop("digest/labels/edge/0/512/768")
    with pytest.raises(UsageError, match="labels/edge/0/512/768 was never written"):
        close(path, of(), tally)
    twice = merge(tally | {"digest/labels/edge/0/512/768": last}, {"digest/labels/edge/0/512/768": last})
    with pytest.raises(UsageError, match="merged twice"):
        close(path, of(), twice)
    assert not is_complete(path)


def test_a_shard_that_vanished_before_the_end_keeps_the_board_open(tmp_path: Path) -> None:
    tally = write(tmp_path / "b.zarr", of(), board())
    (tmp_path / "b.zarr" / "0" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(FileNotFoundError):
        close(tmp_path / "b.zarr", of(), tally)
    assert not is_complete(tmp_path / "b.zarr")


@pytest.mark.parametrize("kind", [Kind.COLOUR, Kind.RAW, Kind.WHITE])
def test_a_plane_that_is_neither_scalar_nor_mask_is_refused(kind: Kind) -> None:
    with pytest.raises(UsageError, match=r"'image\.before' cannot be kept"):
        layout(SHAPE, ((Key("image", "before"), kind),), 256, None)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b"])
def test_a_plane_name_never_becomes_a_path(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        layout(SHAPE, ((Key(name), Kind.MASK),), 256, None)


def test_an_empty_frame_or_a_tile_of_no_whole_bytes_is_refused() -> None:
    for shape, tile in (((0, 5), 256), ((5, 5), 0), ((5, 5), 252)):
        with pytest.raises(UsageError, match="with pixels and tiles of 8, 16"):
            layout(shape, (), tile, None)


def test_a_plane_that_is_not_there_is_named_with_those_that_are(sound: Path) -> None:
    for name, level in (("glare", 0), ("edge", 9), ("edge", -1)):
        with pytest.raises(UsageError, match=r"opacity\.before"):
            read_plane(sound, name, level)
