"""A file is read once, hashed and decoded, and what is no photograph is refused with its reason."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from photographs import REASONS, RGB, jpeg_bytes, png_bytes, saved, tiff_bytes
from PIL import Image

from residue_batch import photo
from residue_batch.errors import Refusal


def test_a_file_is_read_once_hashed_and_decoded(tmp_path: Path) -> None:
    for name, data in (("a.jpg", jpeg_bytes()), ("b.png", png_bytes()), ("c.tif", tiff_bytes(compression="lzw"))):
        path = tmp_path / name
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        found = photo.read(path, sha256=digest.upper())
        assert found.sha256 == digest
        assert found.header == photo.read_header(path) == photo.sniff(data, name)
        with pytest.raises(Refusal, match="hash_mismatch") as caught:
            photo.read(path, sha256="0" * 64)
        assert str(path) in caught.value.message


def test_what_was_hashed_is_what_is_decoded_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    hashed = photo.hash_file(path, keep=True).sha256
    path.write_bytes(b"replaced meanwhile")
    assert photo.read(path, sha256=hashed).sha256 == hashed
    with pytest.raises(Refusal, match="hash_mismatch"):
        photo.read(path, sha256=hashed)


def test_a_file_can_be_hashed_without_being_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    found = photo.hash_file(path)
    assert found.sha256 == photo.read(path).sha256
    assert (found.size, found.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    photo.check_hash(path, found.sha256, None)
    photo.check_hash(path, found.sha256, found.sha256.upper())
    with pytest.raises(Refusal, match="hash_mismatch"):
        photo.check_hash(path, found.sha256, "0" * 64)
    with pytest.raises(Refusal, match="unreadable"):
        photo.hash_file(tmp_path)


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really.jpg"
    path.write_bytes(png_bytes())
    assert photo.read(path).header.format == "png"


def test_a_header_is_read_without_reading_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    got = []
    read = os.read

    def counting(descriptor: int, count: int) -> bytes:
        got.append(count)
        return read(descriptor, count)

    for data in (jpeg_bytes(noise), png_bytes(noise), tiff_bytes(noise, rowsperstrip=8)):
        path = tmp_path / "photo"
        path.write_bytes(data)
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", counting)
            photo.read_header(path)
        assert sum(got) < 4096
        got.clear()


def refused_file(path: Path | str) -> Refusal:
    for function in (photo.read, photo.read_header):
        with pytest.raises(Refusal) as caught:
            function(path)
        assert caught.value.reason in REASONS
        assert caught.value.remedy
    return caught.value


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "fifo.jpg"
    os.mkfifo(path)
    thread = threading.Thread(target=refused_file, args=(path,), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "FIFO" in refused_file(path).message


def test_directories_and_devices_are_refused(tmp_path: Path) -> None:
    assert "directory" in refused_file(tmp_path).message
    if Path("/dev/zero").exists():
        assert "device" in refused_file("/dev/zero").message


def test_a_missing_file_is_refused_with_its_cause(tmp_path: Path) -> None:
    assert isinstance(refused_file(tmp_path / "none.jpg").__cause__, FileNotFoundError)
    assert refused_file("a\0b.jpg").reason == "unreadable"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unreadable"),
        (b"\0" * 5000, "unreadable"),
        (b"Dear customer, the photos will follow.\n" * 9, "not_a_photograph"),
        (b"<!DOCTYPE html><title>404</title>", "not_a_photograph"),
        (b"\xff", "not_a_photograph"),
        (b"\xff\xd8\xff", "unreadable"),
        (b"\x89PNG\r\n\x1a\n", "unreadable"),
        (b"II*\0", "unreadable"),
        (saved(Image.fromarray(RGB), "BMP"), "unsupported"),
        (saved(Image.fromarray(RGB), "GIF"), "unsupported"),
        (saved(Image.fromarray(RGB), "WEBP"), "unsupported"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "unsupported"),
    ],
)
def test_what_is_no_photograph_is_refused_with_the_right_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "board.jpg"
    path.write_bytes(content)
    assert refused_file(path).reason == reason


def test_a_sparse_giant_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "giant.jpg"
    with path.open("wb") as file:
        file.write(jpeg_bytes())
        file.truncate(8 * 2**30)
    with pytest.raises(Refusal, match="too_large"):
        photo.read(path)


def test_photos_pickle_for_other_processes() -> None:
    found = photo.decode(jpeg_bytes(), "a.jpg")
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.pixels, found.pixels)
    assert again.header == found.header
