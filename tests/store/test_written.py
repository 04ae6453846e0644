"""What is written into a store is there, and others can read it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import KEEP, SHAPE, board, contents, cut, of, written
from xxhash import xxh3_128_digest

from residue_batch import kernels, store
from residue_batch.geometry import tiles
from residue_batch.layout import SCALE, inner_of, layout
from residue_batch.program import Key
from residue_batch.shard import CODER, shard
from residue_batch.step import Kind
from residue_batch.store import close, create, is_complete, read_plane, verify, write_tile
from residue_batch.tally import merge_all

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


def test_the_first_level_that_no_tile_writes_has_whole_pixels_of_a_tile() -> None:
    for tile in (64, 192, 1000, 1024, 64 * 257, 8 * 4099):
        for side in (100, 5000, 200_000):
            form = of((side, side), tile)
            assert form.tile_levels == form.levels or tile % (1 << form.tile_levels) == 0
            assert all(form.shard(level) % 8 == 0 for level in range(form.levels))


def test_coarse_image_pixels_are_rounded_means_and_coarse_labels_are_any(sound: Path) -> None:
    for array in of().arrays:
        for level in range(of().levels - 1):
            fine = store._read(sound, array, level)
            fine = np.pad(fine, ((0, 0), (0, fine.shape[1] % 2), (0, fine.shape[2] % 2)), mode="edge")
            quads = np.stack([fine[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]).astype(np.int64)
            coarse = (quads.sum(axis=0) + 2) >> 2 if array == "image" else quads.max(axis=0)
            np.testing.assert_array_equal(store._read(sound, array, level + 1), coarse)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_halving_planes_of_any_size_equals_integer_arithmetic(height: int, width: int, seed: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge").astype(np.int64)
    total = even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]
    np.testing.assert_array_equal(kernels.halved(plane, True), (total + 2) >> 2)
    labels = (plane > 200).astype(np.uint8)
    even = np.pad(labels, ((0, height % 2), (0, width % 2)), mode="edge")
    any_of = even[0::2, 0::2] | even[1::2, 0::2] | even[0::2, 1::2] | even[1::2, 1::2]
    np.testing.assert_array_equal(kernels.halved(labels, False), any_of)


@pytest.mark.parametrize("side", [8, 72, 512, 1024])
@pytest.mark.parametrize("share", [1.0, 0.7, 0.001])
def test_zarr_reads_our_shards_whatever_is_in_them(side: int, share: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(side)
    noise = rng.integers(0, 256, (4, side, side), np.uint8)
    # few codes, none, noise that cannot be coded, all in one bit
    planes = np.stack([noise[0] % 9, noise[1] * 0, noise[2], noise[3] & 128])
    planes = planes[:, : -int(-side * share // 1), : -int(-side * share**2 // 1)]
    inner = inner_of(side)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=planes.shape, dtype="uint8", shards=(4, side, side), chunks=(1, inner, inner),
        fill_value=7, compressors=[zarr.codecs.BloscCodec(**CODER), zarr.codecs.Crc32cCodec()],
    )  # fmt: skip
    array[...] = planes
    file = tmp_path / "a.zarr" / "c" / "0" / "0" / "0"
    theirs = file.stat().st_size
    file.write_bytes(b"".join(shard(planes, side, inner)))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr", mode="r")[...], planes)
    assert file.stat().st_size <= 1.01 * theirs + 400


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 72), st.integers(0, 72), st.integers(0, 99))
def test_bits_of_a_padded_plane_are_put_apart(words: int, height: int, width: int, seed: int) -> None:
    side = 8 * words
    plane = np.random.default_rng(seed).integers(0, 256, (min(height, side), min(width, side) + 3), np.uint8)[:, 3:]
    padded = np.zeros((side, side), np.uint8)
    padded[: plane.shape[0], : plane.shape[1]] = plane
    bits = np.unpackbits(kernels.bits_apart(plane, side).reshape(8, -1), axis=1, bitorder="little")
    np.testing.assert_array_equal(np.packbits(bits.T, axis=1, bitorder="little").ravel(), padded.ravel())


def test_bits_are_put_apart_by_whole_bytes_of_planes_that_fit() -> None:
    for shape, side in (((4, 4), 12), ((9, 8), 8), ((8, 9), 8)):
        with pytest.raises(ValueError, match="differ|larger"):
            kernels.bits_apart(np.zeros(shape, np.uint8), side)


def test_the_text_of_a_marker_stays_as_it_is_or_stores_of_before_would_not_be_complete(sound: Path) -> None:
    text = (sound / store.MARKER).read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True)


def test_a_file_is_written_where_no_advice_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise OSError("not here")

    monkeypatch.setattr(os, "posix_fadvise", refused, raising=False)
    store._put(str(tmp_path / "a"), [b"a", b"b"])
    assert (tmp_path / "a").read_bytes() == b"ab"


def test_a_full_disk_is_an_error_and_not_half_a_file() -> None:
    with pytest.raises(OSError, match="No space left"):
        store._put("/dev/full", [b"a" * 5000, b"b"])


@pytest.mark.parametrize("taken", [0, 2, 7])
def test_what_the_system_did_not_take_at_once_is_written_too(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.os, "writev", lambda handle, parts: os.write(handle, b"".join(parts)[:taken]))
    (tmp_path / "a").write_bytes(b"what was longer before")
    digest = store._put(str(tmp_path / "a"), [b"abc", b"", b"defgh"])
    assert (tmp_path / "a").read_bytes() == b"abcdefgh"
    assert digest == xxh3_128_digest(b"abcdefgh")


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
