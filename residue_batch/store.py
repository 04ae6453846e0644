"""The only writer of ``boards/<key>.zarr``: one shard per tile, every byte accounted for.

A board store is an OME-Zarr 0.5 image (Zarr format 3, axes c, y, x, uint8):

    zarr.json            OME attributes, channel table, all other metadata once more (consolidated)
    <level>/             channel 0 is ``observable`` (255 = seen), then every kept scalar plane
    labels/<plane>/      0/1 masks, one channel per kept phase, as many levels
    complete/zarr.json   completion marker: xxh3_128 of every other file

A missing chunk would read as 0, which is "clean"; so every shard is written,
even if it is all 0, and nothing is believed before the marker stands.

Level k halves level k - 1, rounding sizes up. Image levels are means of codes,
(a + b + c + d + 2) >> 2; label levels are *any*: a lone pixel stays visible, so
areas are right at level 0 only. A tile writes its own shard of every level
down to 512 px and says what it has of the next; ``close`` makes what is coarser
of these, so the pixels do not depend on the tile size.

No clock, host or random value: the same board twice gives the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_128, xxh3_128_hexdigest

from residue_batch import kernels
from residue_batch.canonical import canonical, digest
from residue_batch.errors import UsageError
from residue_batch.geometry import Array, Box
from residue_batch.laps import lapped, laps
from residue_batch.layout import (
    IMAGE,
    OBSERVABLE,
    OURS,
    SEEN,
    Layout,
    file_of,
    folder_of,
    image_attributes,
    inner_of,
    ome_attributes,
)
from residue_batch.program import Key
from residue_batch.shard import CODER, shard
from residue_batch.tally import Tally, count, select

FLUSHES = 8
MANY = 1024
"""Parts that the system takes in one call."""
MARKER, META = "complete/zarr.json", "zarr.json"
# zarr's own threads cost 2-3x the CPU, and a worker is one thread; the indent is part of the bytes
SETTINGS = {"threading.max_workers": 1, "async.concurrency": 1, "json_indent": 2}


class Finding(NamedTuple):
    """One thing that is wrong with a store: a file and what happened to it."""

    file: str
    problem: str


@lru_cache(maxsize=32)
def _metadata(layout: Layout) -> tuple[tuple[str, bytes], ...]:
    """Every metadata file of a store: (path, bytes). Cached: boards of a type differ in pixels only."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec
    from zarr.storage import MemoryStore

    colours = [{"label-value": 0, "rgba": [0, 0, 0, 0]}, {"label-value": 1, "rgba": [255, 64, 0, 160]}]
    label = {
        "ome": ome_attributes(layout, "any", **{"image-label": {"colors": colours, "source": {"image": "../../"}}})
    }
    files: dict[str, Any] = {}
    store = MemoryStore(store_dict=files)
    with zarr.config.set(SETTINGS):
        zarr.create_group(store, attributes=image_attributes(layout))
        if layout.masks:
            names = [name for name, _ in layout.masks]
            zarr.create_group(store, path="labels", attributes={"ome": {"version": "0.5", "labels": names}})
        for array, keys in layout.arrays.items():
            if array != IMAGE:
                zarr.create_group(store, path=array, attributes=label)
            for level in range(layout.levels):
                side = layout.shard(level)
                zarr.create_array(
                    store,
                    name=folder_of(array, level),
                    shape=(len(keys), *layout.size(level)),
                    dtype="uint8",
                    shards=(len(keys), side, side),
                    chunks=(1, inner_of(side), inner_of(side)),
                    filters=None,
                    # the checksum comes last, so it covers what is on the disk
                    compressors=[BloscCodec(**CODER), Crc32cCodec()],
                    fill_value=0,
                    attributes={"channels": [str(key) for key in keys]},
                    dimension_names=("c", "y", "x"),
                )
    texts = {name: buffer.to_bytes() for name, buffer in sorted(files.items())}
    # consolidated by hand: xarray warns without it, zarr warns when it does it
    parts = {name.rpartition("/")[0]: json.loads(text) for name, text in texts.items() if name != META}
    root = json.loads(texts[META])
    root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": parts}
    return tuple((texts | {META: json.dumps(root, indent=1).encode()}).items())


@lru_cache(maxsize=32)
def _folders(layout: Layout) -> tuple[str, ...]:
    """Every folder of a store, outer ones first."""
    files = [name for name, _ in _metadata(layout)] + [MARKER]
    for array in layout.arrays:
        files += (file_of(layout, array, k, box) for k in range(layout.levels) for box in layout.boxes(k))
    return tuple(sorted({str(folder) for name in files for folder in PurePosixPath(name).parents}))


def _coded(plane: Array, offset: float, scale: float) -> tuple[Array, int]:
    """The codes of a scalar (h, w) plane, and how many pixels were clipped."""
    codes, clipped, missing = kernels.quantise(plane, 1 / scale, offset / scale)
    if missing:
        raise FloatingPointError("a kept plane holds NaN; as an integer it would be a clean pixel")
    return codes, clipped


def _in_place(name: str, flags: int) -> int:
    return os.open(name, flags & ~os.O_TRUNC, 0o666)


def _put(file: str, parts: Sequence[bytes]) -> bytes:
    """Write a file over what is there. Returns its digest.

    Two writers write the same bytes, so nothing is cut off before it is written over: a second one
    that is killed leaves the file as whole as it was.
    """
    digested = xxh3_128()
    for part in parts:
        digested.update(part)
    with open(file, "wb", buffering=0, opener=_in_place) as stream:
        # in one call, without a copy; a full disk takes less, and then says why
        done = os.writev(stream.fileno(), parts[:MANY]) if os.name != "nt" else 0
        rest = memoryview(b"".join(parts))[done:] if done < sum(map(len, parts)) else b""
        while rest:
            rest = rest[stream.write(rest) :]
        stream.truncate()
        # to the disk now, while other tiles are made: the board waits less at its end. Not all systems take advice
        with suppress(AttributeError, OSError):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return digested.digest()


def _write(path: Path, layout: Layout, array: str, level: int, box: Box, planes: Sequence[Array]) -> bytes:
    """Write one shard; ``box`` in pixels of the level. Returns its digest."""
    side = layout.shard(level)
    return _put(f"{path}/{file_of(layout, array, level, box)}", shard(planes, side, inner_of(side)))


@lapped("write")
def create(path: str | Path, layout: Layout) -> None:
    """Make an empty, incomplete store, built beside ``path`` and then renamed; replaces an older store.

    UsageError if what stands at ``path`` is no board store.
    """
    path = Path(path)
    if path.exists() and OURS not in _attributes(path / META):
        raise UsageError(f"{path} is in the way: it is not a board store, so it is not replaced")
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for folder in _folders(layout):
        (new / folder).mkdir(parents=True)
    for name, data in _metadata(layout):
        (new / name).write_bytes(data)
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _attributes(file: Path) -> dict[str, Any]:
    """The attributes in a Zarr metadata file; {} if it is missing or unreadable."""
    try:
        return dict(json.loads(file.read_bytes())["attributes"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _check_open(path: Path, layout: Layout) -> None:
    if not (path / META).is_file() or (path / META).read_bytes() != dict(_metadata(layout))[META]:
        raise UsageError(f"{path} was not created with this layout")
    if is_complete(path):
        raise UsageError(f"{path} is complete; create it anew to write it again")


def write_tile(path: str | Path, layout: Layout, tile: Box, planes: Mapping[Key, Array]) -> Tally:
    """Write one tile of ``geometry.tiles(layout.shape, layout.tile)`` into every array and level, as whole shards.

    ``planes`` holds at least ``layout.keys``, each (h, w) of the tile: masks bool, scalar planes float32 or codes.
    Returns ``digest/<array>/<level>/<top>/<left>`` (top, left of the tile in frame px): two words of the shard's
    digest and a 1, so that a tile merged twice shows; ``clipped/<plane>``: pixels beyond the codes' range;
    ``coarse/<array>/<top>/<left>``: uint8 (c, h, w), the tile in the first level that no tile writes.
    UsageError if the tile is not exactly one shard, a plane does not fit it, or the store is not open for this
    layout; FloatingPointError for NaN.
    """
    path = Path(path)
    if tile not in layout.boxes(0):
        raise UsageError(f"{tile} is not a tile of {layout.shape} by {layout.tile} px: only whole shards are written")
    for key in layout.keys:
        kinds = ("float32", "uint8") if key in layout.scalars else ("bool",)
        if key not in planes or planes[key].shape != tile.shape or planes[key].dtype not in kinds:
            raise UsageError(f"plane '{key}' is missing or is not {' or '.join(kinds)} {tile.shape}")
    _check_open(path, layout)
    lap = laps()
    tally: Tally = {}
    for array, keys in layout.arrays.items():
        codes = []
        for key in keys:
            if key in layout.scalars:
                coded, clipped = _coded(planes[key], *layout.code(key))
                tally[f"clipped/{key}"] = count(clipped)
            else:
                coded = planes[key].view(np.uint8)
            codes.append(coded * np.uint8(SEEN) if key == OBSERVABLE else coded)
        for level in range(layout.tile_levels):
            codes = [kernels.halved(plane, array == IMAGE) for plane in codes] if level else codes
            box = Box(*(-(-side >> level) for side in tile))
            found = _write(path, layout, array, level, box, codes)
            tally[f"digest/{array}/{level}/{tile.top}/{tile.left}"] = np.array([*np.frombuffer(found, "<i8"), 1])
        if layout.tile_levels < layout.levels:
            coarse = [kernels.halved(plane, array == IMAGE) for plane in codes]
            tally[f"coarse/{array}/{tile.top}/{tile.left}"] = np.stack(coarse)
    lap("write", tile.pixels, tile.pixels * len(layout.keys))
    return tally


def _assembled(layout: Layout, array: str, tally: Tally) -> list[Array]:
    """The planes of the first level that no tile writes, from what each tile has of it."""
    level = layout.tile_levels
    whole = np.empty((len(layout.arrays[array]), *layout.size(level)), np.uint8)
    for tile in layout.boxes(0):
        part = tally[f"coarse/{array}/{tile.top}/{tile.left}"]
        place = whole[:, tile.top >> level :, tile.left >> level :]
        place[:, : part.shape[1], : part.shape[2]] = part
    return list(whole)


@lapped("write")
def close(path: str | Path, layout: Layout, tally: Tally) -> None:
    """Write the coarser levels, flush all files to the disk and set the completion marker.

    ``tally`` is the merge of every tile's; other names in it are left alone.
    UsageError if a tile is missing or was merged twice.
    """
    path = Path(path)
    _check_open(path, layout)
    files = {name: xxh3_128_hexdigest(data) for name, data in _metadata(layout)}
    found = select(tally, "digest")
    for array in layout.arrays:
        for level in range(layout.tile_levels):
            for box in layout.boxes(level):
                name = f"{array}/{level}/{box.top << level}/{box.left << level}"
                if name not in found or found[name][2] != 1:
                    raise UsageError(f"shard {name} was {'merged twice' if name in found else 'never written'}")
                files[file_of(layout, array, level, box)] = found[name][:2].astype("<i8").tobytes().hex()
    for array in layout.arrays:
        planes = _assembled(layout, array, tally) if layout.tile_levels < layout.levels else []
        for level in range(layout.tile_levels, layout.levels):
            for box in layout.boxes(level):
                part = [plane[box.top : box.bottom, box.left : box.right] for plane in planes]
                files[file_of(layout, array, level, box)] = _write(path, layout, array, level, box, part).hex()
            planes = [kernels.halved(plane, array == IMAGE) for plane in planes]
    names = [f"{path}/{name}" for name in (*_folders(layout), *files)]
    with ThreadPoolExecutor(FLUSHES) as pool:
        # one by one, each waits for the file system's journal; together they wait once
        list(pool.map(_flush, [names[i::FLUSHES] for i in range(FLUSHES)]))
    clipped = {str(key): int(tally.get(f"clipped/{key}", 0)) for key in layout.scalars}
    # half a marker is none: it holds its own digest
    _put(f"{path}/{MARKER}", [_marker(files, clipped).encode()])
    _flush([path / MARKER, (path / MARKER).parent, path, path.parent])


def _flush(names: Iterable[str | Path]) -> None:
    if os.name == "nt":
        return  # folders and files open for reading cannot be flushed there
    for name in names:
        handle = os.open(name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _marker(files: Mapping[str, str], clipped: Mapping[str, int]) -> str:
    # the attributes of a group: of a bare file, tools that list the store would warn
    content = {"files": files, "digest": "xxh3_128", "clipped_pixels": clipped}
    attributes = content | {"sha256": digest(canonical(content))}
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=1, sort_keys=True)


def _marked(path: Path) -> dict[str, Any]:
    """What the completion marker says; {} if it is missing or not as it was written."""
    marker = _attributes(path / MARKER)
    try:
        sound = (path / MARKER).read_bytes() == _marker(marker["files"], marker["clipped_pixels"]).encode()
    except (OSError, KeyError):
        return {}
    return marker if sound else {}


def is_complete(path: str | Path) -> bool:
    """Whether the store was closed. Whether it is still as it was then, only ``verify`` knows."""
    return bool(_marked(Path(path)))


def verify(path: str | Path) -> list[Finding]:
    """Read every file of a store and compare it with the marker; [] if all is well."""
    path = Path(path)
    expected: dict[str, str] = _marked(path).get("files", {})
    if not expected:
        changed = (path / MARKER).exists()
        return [Finding(MARKER, "the marker was changed" if changed else "incomplete: the store was never closed")]
    owner = {found: name for name, found in expected.items()}
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir()} - {MARKER}
    findings = [Finding(name, "unexpected file") for name in sorted(present - expected.keys())]
    for name, digested in expected.items():
        actual = xxh3_128_hexdigest((path / name).read_bytes()) if name in present else ""
        if actual != digested:
            other = f"holds the bytes of {owner[actual]}" if actual in owner else "changed since it was written"
            findings.append(Finding(name, other if actual else "missing"))
    return findings


def _read(path: Path, array: str, level: int) -> Array:
    """The codes of one level, uint8 (c, h, w); a flipped bit raises."""
    import zarr

    with zarr.config.set(SETTINGS):
        return np.asarray(zarr.open_array(path / folder_of(array, level), mode="r", zarr_format=3)[...])


def read_plane(path: str | Path, name: str, level: int = 0) -> Array:
    """One plane of a complete store, (h, w): for notebooks and tests, never for numbers.

    ``name`` is a channel: ``opacity.before``, ``residue.after``, ``observable``. Scalar planes are float32, exact
    to 0.0025; masks are bool, and ``observable`` is True where all of a pixel was seen.
    UsageError if the store is incomplete, lacks a shard of this level, or has no such plane or level.
    """
    path = Path(path)
    marker = _marked(path)
    if not marker:
        raise UsageError(f"{path} is incomplete: what is missing would read as clean")
    planes = _attributes(path / META)[OURS]["planes"]
    plane = planes.get(name, {"array": "none"})
    shards = [file for file in marker["files"] if file.startswith(f"{folder_of(plane['array'], level)}/c/")]
    if not shards:
        raise UsageError(f"{path} has no level {level} of a plane {name!r}; there are: {', '.join(planes)}")
    if missing := [file for file in shards if not (path / file).is_file()]:
        raise UsageError(f"{path} lacks {', '.join(missing)}: it would read as clean")
    codes = _read(path, plane["array"], level)[plane["channel"]]
    if plane["array"] == IMAGE and name != str(OBSERVABLE):
        # by table, from float64: 0 and 1 come back exactly
        return np.asarray((plane["offset"] + plane["scale"] * np.arange(256)).astype(np.float32)[codes])
    return np.asarray(codes * plane["scale"] == 1)
