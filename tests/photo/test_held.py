"""The memory of a photograph is used again once nobody holds it, and not before."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from residue_batch import photo
from residue_batch.photo import arrays


def test_a_photograph_is_never_decoded_into_one_that_is_held(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    files = []
    for number in range(4):
        picture = rng.integers(0, 255, (40, 60, 3), np.uint8)
        (tmp_path / f"{number}.jpg").write_bytes(imagecodecs.jpeg8_encode(picture))
        files.append(tmp_path / f"{number}.jpg")
    held = [photo.read(file).pixels for file in files]
    parts = [pixels[3:, ::2] for pixels in held]
    copies = [part.copy() for part in parts]
    del held
    for _ in range(3):
        for file in files:
            assert not photo.read(file).pixels.flags.writeable
    assert all(np.array_equal(part, copy) for part, copy in zip(parts, copies, strict=True))


def test_memory_of_a_photograph_is_used_again_once_nobody_holds_it() -> None:
    first = arrays.room((31, 17, 3))
    place = first.ctypes.data
    second = arrays.room((31, 17, 3))
    assert second.ctypes.data != place
    del first
    third = arrays.room((31, 17, 3))
    assert third.ctypes.data == place
    assert arrays.room((31, 17, 3), np.uint16).dtype == np.uint16
