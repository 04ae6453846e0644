"""The store of a board: what is written is there, and what is damaged is found."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from residue_batch import kernels, store
from residue_batch.errors import UsageError
from residue_batch.geometry import Array, Box, tiles
from residue_batch.layout import SCALE, Layout, layout
from residue_batch.program import Key
from residue_batch.step import Kind
from residue_batch.store import close, create, is_complete, read_plane, verify, write_tile
from residue_batch.tally import Tally, merge, merge_all

SHAPE = (700, 901)
KEEP = (
    (Key("opacity", "before"), Kind.SCALAR),
    (Key("opacity", "after"), Kind.SCALAR),
    (Key("residue", "after"), Kind.MASK),
    (Key("residue", "before"), Kind.MASK),
    (Key("edge"), Kind.MASK),
)
Planes = dict[Key, Array]


def board(shape: tuple[int, int] = SHAPE, seed: int = 0) -> Planes:
    rng = np.random.default_rng(seed)
    planes: Planes = {Key("observable"): rng.random(shape) > 0.1}
    for key, kind in KEEP:
        plane = rng.random(shape, np.float32) * np.float32(1.2) - np.float32(0.1)
        planes[key] = plane if kind == Kind.SCALAR else plane > 0.8
    return planes


def of(shape: tuple[int, int] = SHAPE, tile: int = 256, keep: tuple[tuple[Key, Kind], ...] = KEEP) -> Layout:
    return layout(shape, keep, tile, 12.5)


def cut(planes: Planes, tile: Box) -> Planes:
    whole = Box.whole(next(iter(planes.values())).shape)
    return {key: plane[tile.within(whole)] for key, plane in planes.items()}


def write(path: Path, form: Layout, planes: Planes) -> Tally:
    create(path, form)
    return merge_all(write_tile(path, form, tile, cut(planes, tile)) for tile in tiles(form.shape, form.tile))


def written(path: Path, form: Layout, planes: Planes) -> Path:
    close(path, form, write(path, form, planes))
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sound") / "b.zarr", of(), board())


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy.zarr"))


# what is written is there --------------------------------------------------------


def test_a_sound_store_is_complete_and_has_no_findings(sound: Path) -> None:
    assert is_complete(sound)
    assert is_complete(str(sound))
    assert verify(sound) == []


def test_planes_come_back_as_they_were_written(sound: Path) -> None:
    planes = board()
    for key, kind in KEEP:
        read = read_plane(sound, str(key))
        if kind == Kind.MASK:
            np.testing.assert_array_equal(read, planes[key])
        else:
            assert read.dtype == np.float32
            assert np.abs(read - planes[key]).max() <= SCALE / 2 + 1e-6
    np.testing.assert_array_equal(read_plane(sound, "observable"), planes[Key("observable")])


def test_zero_and_one_are_stored_exactly(tmp_path: Path) -> None:
    planes = board()
    planes[Key("opacity", "before")] = planes[Key("edge")].astype(np.float32)
    path = written(tmp_path / "b.zarr", of(), planes)
    np.testing.assert_array_equal(read_plane(path, "opacity.before"), planes[Key("opacity", "before")])


@pytest.mark.parametrize("tile", [128, 192, 512, 1000, 2048])
def test_the_tile_size_changes_no_pixel_of_any_level(tile: int, sound: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "o.zarr", of(tile=tile), board())
    levels = of().levels
    assert of(tile=tile).levels == levels == 3
    for array in of().arrays:
        for level in range(levels):
            np.testing.assert_array_equal(store._read(sound, array, level), store._read(other, array, level))


def test_levels_coarser_than_the_tiles_write_are_made_at_the_end(tmp_path: Path) -> None:
    form = of((1100, 300), 64)
    assert (form.tile_levels, form.levels) == (1, 4)
    planes = board((1100, 300))
    path = written(tmp_path / "b.zarr", form, planes)
    assert verify(path) == []
    assert form.size(3) == read_plane(path, "residue.after", 3).shape == (138, 38)


def test_coarse_image_pixels_are_rounded_means_and_coarse_labels_are_any(sound: Path) -> None:
    for array in of().arrays:
        for level in range(of().levels - 1):
            fine = store._read(sound, array, level)
            fine = np.pad(fine, ((0, 0), (0, fine.shape[1] % 2), (0, fine.shape[2] % 2)), mode="edge")
            quads = np.stack([fine[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]).astype(np.int64)
            coarse = (quads.sum(axis=0) + 2) >> 2 if array == "image" else quads.max(axis=0)
            np.testing.assert_array_equal(store._read(sound, array, level + 1), coarse)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_halving_blocks_of_any_size_equals_integer_arithmetic(c: int, height: int, width: int, seed: int) -> None:
    block = np.random.default_rng(seed).integers(0, 256, (c, height, width), np.uint8)
    even = np.pad(block, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge").astype(np.int64)
    total = even[:, 0::2, 0::2] + even[:, 1::2, 0::2] + even[:, 0::2, 1::2] + even[:, 1::2, 1::2]
    np.testing.assert_array_equal(kernels.halved(block, True), (total + 2) >> 2)
    labels = (block > 200).astype(np.uint8)
    even = np.pad(labels, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    any_of = even[:, 0::2, 0::2] | even[:, 1::2, 0::2] | even[:, 0::2, 1::2] | even[:, 1::2, 1::2]
    np.testing.assert_array_equal(kernels.halved(labels, False), any_of)


def test_our_shards_are_what_zarr_itself_reads_and_writes(tmp_path: Path) -> None:
    block = np.random.default_rng(1).integers(0, 9, (2, 1024, 1024), np.uint8)
    coder = zarr.codecs.BloscCodec(typesize=1, cname="lz4", clevel=5, shuffle="bitshuffle", blocksize=1 << 16)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=block.shape, dtype="uint8", shards=block.shape, chunks=(1, 512, 512), fill_value=0,
        compressors=[coder, zarr.codecs.Crc32cCodec()],
    )  # fmt: skip
    array[...] = block
    file = tmp_path / "a.zarr" / "c" / "0" / "0" / "0"
    ours = b"".join(store._shard(block, 1024))
    assert len(ours) == file.stat().st_size
    file.write_bytes(ours)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[...], block)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (256, 256), (257, 255)])
def test_a_small_board_is_one_tile(shape: tuple[int, int], tmp_path: Path) -> None:
    planes = board(shape)
    path = written(tmp_path / "b.zarr", of(shape, 512), planes)
    assert verify(path) == []
    np.testing.assert_array_equal(read_plane(path, "edge"), planes[Key("edge")])


def test_a_store_that_keeps_nothing_still_shows_what_was_seen(tmp_path: Path) -> None:
    form = of(keep=())
    assert form.keys == (Key("observable"),)
    path = written(tmp_path / "b.zarr", form, board())
    assert not (path / "labels").exists()
    assert read_plane(path, "observable").shape == SHAPE


def test_an_all_clean_board_has_every_shard(tmp_path: Path) -> None:
    planes = {key: np.zeros_like(plane) for key, plane in board().items()}
    path = written(tmp_path / "b.zarr", of(), planes)
    shards = [name for name in contents(path) if "/c/" in name]
    assert len(shards) == sum(len(of().boxes(level)) for level in range(of().levels)) * len(of().arrays)
    assert len(of().boxes(0)) == 12


def test_the_same_board_twice_gives_the_same_bytes(sound: Path, tmp_path: Path) -> None:
    form = of()
    create(tmp_path / "b.zarr", form)
    backwards = [write_tile(tmp_path / "b.zarr", form, t, cut(board(), t)) for t in [*tiles(form.shape, 256)][::-1]]
    close(tmp_path / "b.zarr", form, merge_all(backwards))
    assert contents(tmp_path / "b.zarr") == contents(sound)


def test_pixels_beyond_the_codes_are_counted(tmp_path: Path) -> None:
    planes = board()
    planes[Key("opacity", "after")][:2, :3] = [[5, -1, np.inf], [1.17, -0.1, 0]]
    path = written(tmp_path / "b.zarr", of(), planes)
    counts = zarr.open_group(path, mode="r", path="complete").attrs["clipped_pixels"]
    assert counts == {"opacity.before": 0, "opacity.after": 3}


def test_layouts_and_tallies_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(of())) == of()
    assert hash(of()) == hash(of())


# what is damaged is found --------------------------------------------------------


def test_every_missing_shard_is_found(copy: Path) -> None:
    shards = sorted(name for name in contents(copy) if "/c/" in name)
    for name in shards[::7]:
        data = (copy / name).read_bytes()
        (copy / name).unlink()
        assert [(f.file, f.problem) for f in verify(copy)] == [(name, "missing")]
        (copy / name).write_bytes(data)
    assert verify(copy) == []


def test_a_missing_shard_is_never_read_as_clean(copy: Path) -> None:
    (copy / "0" / "c" / "0" / "1" / "1").unlink()
    with pytest.raises(UsageError, match="0/c/0/1/1"):
        read_plane(copy, "observable")


def test_every_one_of_50_flipped_bits_is_found(copy: Path) -> None:
    rng = np.random.default_rng(50)
    files = sorted(contents(copy))
    for name in [*rng.choice(files, 40), *["complete/zarr.json"] * 5, *["zarr.json"] * 5]:
        data = bytearray((copy / name).read_bytes())
        sound = bytes(data)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(data)
        assert [f.file for f in verify(copy)] == [name]
        (copy / name).write_bytes(sound)
    assert verify(copy) == []


def test_zarr_alone_notices_a_flipped_bit_of_a_chunk(copy: Path) -> None:
    shard = copy / "0" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 16
    shard.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        read_plane(copy, "opacity.before")


def test_swapped_shards_are_found(copy: Path) -> None:
    one, two = (copy / "labels" / "residue" / "0" / "c" / "0" / "0" / name for name in "01")
    one.rename(copy / "x")
    two.rename(one)
    (copy / "x").rename(two)
    findings = verify(copy)
    assert {f.file for f in findings} == {"labels/residue/0/c/0/0/0", "labels/residue/0/c/0/0/1"}
    assert all("holds the bytes of" in f.problem for f in findings)


def test_a_file_that_does_not_belong_is_found(copy: Path) -> None:
    (copy / "0" / "c" / "0" / "0" / "9.partial").write_bytes(b"")
    assert [f.problem for f in verify(copy)] == ["unexpected file"]


def test_a_store_without_its_marker_is_incomplete(copy: Path) -> None:
    shutil.rmtree(copy / "complete")
    assert not is_complete(copy)
    assert "never closed" in verify(copy)[0].problem
    with pytest.raises(UsageError, match="incomplete"):
        read_plane(copy, "observable")


@pytest.mark.parametrize("rest", [b"", b"\0" * 64])
def test_half_a_marker_is_none(copy: Path, rest: bytes) -> None:
    marker = copy / "complete" / "zarr.json"
    whole = marker.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        marker.write_bytes(whole[:length] + rest)
        assert not is_complete(copy)
        assert verify(copy)[0].file == "complete/zarr.json"
    marker.write_bytes(whole)
    assert verify(copy) == []


def test_a_folder_that_is_no_store_is_incomplete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
    assert not is_complete(tmp_path / "nothing")
    assert len(verify(tmp_path / "nothing")) == 1


def writing(path: Path, first: str) -> subprocess.Popen[bytes]:
    """A process that writes the tiles of a store over and over; ``first`` is its first line."""
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from tests.test_store import *
        form, path = of(), {str(path)!r}
        {first}
        while True:
            for tile in tiles(form.shape, form.tile):
                write_tile(path, form, tile, cut(board(), tile))
                print("written", flush=True)
    """
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=env, stdout=subprocess.PIPE)


def test_a_killed_writer_leaves_an_incomplete_store_that_can_be_written_again(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.zarr"
    with writing(path, "create(path, form)") as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert not is_complete(path)
    assert "never closed" in verify(path)[0].problem
    assert contents(written(path, of(), board())) == contents(sound)


def test_a_second_writer_that_is_killed_spoils_nothing(sound: Path, tmp_path: Path) -> None:
    tally = write(tmp_path / "b.zarr", of(), board())
    with writing(tmp_path / "b.zarr", "") as writer:
        assert writer.stdout is not None
        for _ in range(7):
            assert writer.stdout.readline() == b"written\n"
        os.kill(writer.pid, signal.SIGKILL)
    close(tmp_path / "b.zarr", of(), tally)
    assert contents(tmp_path / "b.zarr") == contents(sound)


def test_at_no_moment_has_a_second_writer_cut_a_shard_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form, tile = of(), next(iter(tiles(of().shape, of().tile)))
    create(tmp_path / "b.zarr", form)
    write_tile(tmp_path / "b.zarr", form, tile, cut(board(), tile))
    before, opened, in_place = contents(tmp_path / "b.zarr"), list[str](), store._in_place

    def looking(name: str, flags: int) -> int:
        opened.append(name)
        handle = in_place(name, flags)
        assert contents(tmp_path / "b.zarr") == before
        return handle

    monkeypatch.setattr(store, "_in_place", looking)
    write_tile(tmp_path / "b.zarr", form, tile, cut(board(), tile))
    assert len(opened) == len(form.arrays) * form.tile_levels
    assert contents(tmp_path / "b.zarr") == before


def test_what_is_left_of_a_longer_shard_goes_when_it_is_written_again(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.zarr"
    create(path, of())
    for file in ("0/c/0/0/0", "labels/residue/0/c/0/1/1"):
        (path / file).write_bytes(b"of another version" * 100_000)
    tally = merge_all(write_tile(path, of(), tile, cut(board(), tile)) for tile in tiles(of().shape, of().tile))
    close(path, of(), tally)
    assert contents(path) == contents(sound)


# what is not whole is refused ----------------------------------------------------


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


def test_an_empty_frame_is_refused() -> None:
    for shape, tile in (((0, 5), 256), ((5, 5), 0)):
        with pytest.raises(UsageError, match="at least 1 px"):
            layout(shape, (), tile, None)


def test_a_plane_that_is_not_there_is_named_with_those_that_are(sound: Path) -> None:
    for name, level in (("glare", 0), ("edge", 9), ("edge", -1)):
        with pytest.raises(UsageError, match=r"opacity\.before"):
            read_plane(sound, name, level)


# others can read it --------------------------------------------------------------


def test_xarray_and_zarr_open_it_without_warnings(sound: Path) -> None:
    dataset = xr.open_zarr(sound, drop_variables=["1", "2"])
    assert dataset["0"].sizes == {"c": 3, "y": 700, "x": 901}
    assert dataset["0"].attrs["channels"] == ["observable", "opacity.before", "opacity.after"]
    np.testing.assert_array_equal(dataset["0"].values, store._read(sound, "image", 0))
    for use in (True, False):
        group = zarr.open_group(sound, mode="r", use_consolidated=use)
        assert {"0", "1", "2", "labels/residue/0"} <= {name for name, _ in group.members(max_depth=None)}


def test_reading_leaves_the_settings_of_zarr_alone(sound: Path) -> None:
    with zarr.config.set({"threading.max_workers": 7}):
        read_plane(sound, "edge")
        assert zarr.config.get("threading.max_workers") == 7


def test_lengths_are_micrometres_only_if_the_pixel_size_is_known(tmp_path: Path, sound: Path) -> None:
    create(tmp_path / "b.zarr", layout(SHAPE, KEEP, 256, None))
    for path, unit, scale in ((sound, "micrometer", 25.0), (tmp_path / "b.zarr", None, 2.0)):
        for group in (path, path / "labels" / "edge"):
            image = json.loads((group / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
            assert [axis.get("unit") for axis in image["axes"]] == [None, unit, unit]
            moves = image["datasets"][1]["coordinateTransformations"]
            assert moves[0]["scale"] == [1.0, scale, scale]
            assert moves[1]["translation"] == [0.0, scale / 4, scale / 4]


def test_ome_zarr_models_finds_it_valid(sound: Path) -> None:
    # needs an environment of its own (it pins pydantic): pip install ome-zarr-models
    command = os.environ.get("OME_ZARR_MODELS") or shutil.which("ome-zarr-models")
    if not command:
        pytest.skip("ome-zarr-models is neither on PATH nor named by OME_ZARR_MODELS")
    for group in (sound, sound / "labels", sound / "labels" / "residue", sound / "labels" / "edge"):
        done = subprocess.run([command, "validate", str(group)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_codes_of_a_share_of_full_scale_come_back_exactly(tmp_path: Path) -> None:
    share = Key("share")
    form = layout((16, 16), ((share, Kind.SCALAR),), 64, None, (("share", 0.0, 1.0),))
    values = (np.arange(256, dtype=np.float32) / np.float32(255)).reshape(16, 16)
    path = written(tmp_path / "b.zarr", form, {share: values, Key("observable"): np.ones((16, 16), bool)})
    np.testing.assert_array_equal(read_plane(path, "share"), values)
    described = json.loads((path / "zarr.json").read_text())["attributes"]["residue_batch"]["planes"]["share"]
    assert (described["offset"], described["scale"]) == (0.0, 1 / 255)
