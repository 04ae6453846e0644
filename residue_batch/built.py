"""A reference that was built, as files: a photograph anyone can look at, and where it comes from.

    refs/x/v1/reference.png     16-bit sRGB, lossless; transparent where too few shots show the board
    refs/x/v1/reference.json    of which board type, frame and shots, how, and how well they agree

A version never changes once it is written. The JSON carries its own digest and the hash of the
picture, so a reference that was touched is noticed. No clock and no host stand in either.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from residue_batch import building
from residue_batch.building import Building, found_of
from residue_batch.canonical import canonical, digest
from residue_batch.errors import Refusal
from residue_batch.files import PhotoFile
from residue_batch.matching import quantile
from residue_batch.photo import hash_file
from residue_batch.program import PHASES

PICTURE, PROVENANCE = "reference.png", "reference.json"
_VERSION = re.compile(r"v([1-9][0-9]*)")


@dataclass(frozen=True)
class Built:
    """A built reference: its folder, its picture, and what stands in its provenance."""

    folder: Path
    picture: PhotoFile
    provenance: Mapping[str, Any]

    @property
    def shots(self) -> list[dict[str, Any]]:
        return list(self.provenance["shots"])

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """The shots that were not used, each with its reason."""
        return [shot for shot in self.shots if not shot["used"]]

    @property
    def summary(self) -> dict[str, Any]:
        """What a run records of it."""
        return {
            "digest": self.provenance["digest"],
            "used": len(self.shots) - len(self.left_out),
            "left_out": [{k: shot[k] for k in ("board", "phase", "reason", "message")} for shot in self.left_out],
            "agreement": self.provenance["agreement"],
        }


def write(folder: Path, state: Building) -> Built:
    """Write a finished building as a reference, in one step: either all of it is there or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    code, valid = found_of(state)
    if not valid.all():
        alpha = np.where(valid, np.uint16(65535), np.uint16(0))
        code = np.concatenate([code, alpha[:, :, None]], axis=2)
    shown = np.ascontiguousarray(code[:, :, 0] if code.shape[2] == 1 else code)
    _synced(partial / PICTURE, bytes(imagecodecs.png_encode(shown)))
    document = _provenance(state, hash_file(partial / PICTURE).sha256)
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    _synced(partial / PROVENANCE, text.encode())
    partial.replace(folder)
    return read(folder)


def _synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _provenance(state: Building, sha256: str) -> dict[str, Any]:
    assert state.agreement is not None
    document = {
        "schema": 1,
        "board_type": state.board_type.board_type,
        "board_type_sha256": digest(state.board_type.identity()),
        "frame_sha256": state.frame.sha256,
        "picture_sha256": sha256,
        "flat_field_sha256": {phase: card for phase, card in state.cards.sha256.items() if phase in PHASES},
        "shape": list(state.shape),
        "method": {
            "version": building.METHOD,
            "quantile": quantile.QUANTILE,
            "share": quantile.SHARE,
            "near_px": quantile.NEAR,
            "blur_px": building.BLUR,
            "most_shots": building.MOST_SHOTS,
        },
        "anchor": str(state.origins[state.anchor]),
        "agreement": {"spread": _short(state.agreement.spread), "unseen_pct": _short(state.agreement.unseen_pct)},
        "shots": [_shot(state, index) for index in range(len(state.shots))],
    }
    return document | {"digest": digest(canonical(document))}


def _shot(state: Building, index: int) -> dict[str, Any]:
    seen, origin = state.seen[index], state.origins[index]
    found, light = seen.registration, seen.light
    return {
        "lot": origin.lot,
        "board": origin.board,
        "phase": origin.phase,
        "sha256": seen.sha256,
        "used": not seen.reason,
        "reason": seen.reason,
        "message": seen.message,
        "correlation": _short(found.correlation) if found else None,
        "residual_px": _short(found.residual_px) if found else None,
        "film": _short(light.film) if light else None,
        "light_residual": _short(light.residual) if light else None,
        "extra_blur_px2": _short(light.extra_blur) if light else None,
    }


def _short(value: float) -> float:
    return float(f"{value:.9g}")


def read(folder: Path, frame: PhotoFile | None = None) -> Built:
    """Open a built reference and check that it is whole.

    Parameters
    ----------
    frame
        The frame image of the board type that wants to use it.

    Raises
    ------
    Refusal
        ``reference``: not a reference, touched since it was built, or made for another frame.
    """
    again = "build it again with 'residue reference build'"
    path = folder / PROVENANCE
    if not path.is_file() and versions(folder):
        named = ", ".join(str(folder / f"v{number}") for number in versions(folder))
        raise Refusal("reference", f"{folder} holds versions of a reference", f"name one of them: {named}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        claimed = document.pop("digest")
        whole = claimed == digest(canonical(document))
        if not whole:
            raise Refusal("reference", f"{path} was changed since it was built", again)
        picture = PhotoFile(str(folder / PICTURE), hash_file(folder / PICTURE).sha256)
        if picture.sha256 != document["picture_sha256"]:
            raise Refusal("reference", f"{picture.path} was changed since it was built", again)
        made_for = document["frame_sha256"]
    except OSError as error:
        raise Refusal("reference", f"{folder} is no built reference: {error.strerror}", again) from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Refusal("reference", f"{path} is not the provenance of a reference", again) from None
    if frame is not None and made_for != frame.sha256:
        raise Refusal("reference", f"{folder} was built in another frame image", "give that frame, or build it again")
    return Built(folder, picture, document | {"digest": claimed})


def versions(folder: Path) -> list[int]:
    """The versions in a folder of references, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(found[1]) for path in folder.iterdir() if (found := _VERSION.fullmatch(path.name)))


def write_version(folder: Path, state: Building) -> tuple[Built, bool]:
    """Write a building as the next version in a folder; the newest again, if nothing differs.

    Returns
    -------
    The reference, and whether it is new.
    """
    there = versions(folder)
    built = write(folder / f"v{(there[-1] if there else 0) + 1}", state)
    newest = read(folder / f"v{there[-1]}") if there else None
    if newest is None or newest.provenance["digest"] != built.provenance["digest"]:
        return built, True
    for name in (PICTURE, PROVENANCE):
        (built.folder / name).unlink()
    built.folder.rmdir()
    return newest, False
