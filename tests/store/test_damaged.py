"""A store that is damaged, or was left by a killed writer, is found to be so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from stored import board, contents, cut, of, write, written

from residue_batch import store
from residue_batch.errors import UsageError
from residue_batch.geometry import tiles
from residue_batch.store import close, create, is_complete, read_plane, verify, write_tile
from residue_batch.tally import merge_all


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
        from stored import *
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
