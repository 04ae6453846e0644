"""Photograph files of a board type: which ones, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from residue_batch import photo
from residue_batch.config import BoardType
from residue_batch.geometry import Transform
from residue_batch.matching.flat import Flat, Shade, flat_of
from residue_batch.matching.resample import linear_table
from residue_batch.recent import Recent


@dataclass(frozen=True)
class PhotoFile:
    """A photograph to read: where it is and, where known, what it must hash to."""

    path: str
    sha256: str | None = None


class Cards(NamedTuple):
    """The photographs of an even white card that are the flat fields of golden shot, before and after."""

    golden: PhotoFile | None = None
    before: PhotoFile | None = None
    after: PhotoFile | None = None

    @property
    def sha256(self) -> dict[str, str | None]:
        """What each hashes to; without those that there are not."""
        return {role: card.sha256 for role, card in self._asdict().items() if card}


NO_CARDS = Cards()


def read_photo(board_type: BoardType, file: PhotoFile) -> photo.Photo:
    """Read and check a photograph as its board type says."""
    return photo.read(file.path, sha256=file.sha256, tone=board_type.tone, any_profile=board_type.any_profile)


def read_reference(file: PhotoFile) -> photo.Photo:
    """Read a reference that was built: always sRGB code, whatever the shots of the board type are."""
    return photo.read(file.path, sha256=file.sha256, tone="srgb")


_flats: Recent[Flat] = Recent(3)


def flat_field(board_type: BoardType, card: PhotoFile | None) -> Flat | None:
    """The flat field out of the photograph of a card; a process reads each once."""

    def prepare(file: PhotoFile) -> Flat:
        shot = read_photo(board_type, file)
        return flat_of(shot.pixels, linear_table(shot.pixels.dtype, shot.tone), shot.header.orientation, file.path)

    return _flats.get((card, board_type.tone, board_type.any_profile), lambda: prepare(card)) if card else None


def shade_of(flat: Flat | None, shot: photo.Photo, transform: Transform, name: str) -> Shade | None:
    """A flat field as a shot was taken, if there is one; ``transform`` is from the frame to the shot.

    Raises
    ------
    Refusal
        ``flat_field``: card and shot do not belong together.
    """
    return flat.shade(shot.pixels.shape, shot.header.orientation, transform, name) if flat else None
