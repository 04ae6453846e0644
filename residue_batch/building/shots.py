"""One shot at a time: how clean it looks, and its light; then all of them held against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from residue_batch import photo
from residue_batch.building.state import BLUR, Building, Seen, enough, ground_of, resampled, shade_in
from residue_batch.errors import Refusal
from residue_batch.files import read_photo
from residue_batch.gates import gate_match
from residue_batch.geometry import Array, Box, tiles
from residue_batch.matching.flat import Shade
from residue_batch.matching.light import Light
from residue_batch.matching.light_fit import fit_light
from residue_batch.matching.quantile import UNSEEN, cleanness
from residue_batch.matching.registration import Registration, register
from residue_batch.matching.resample import FULL_SCALE, blur, blur_radius, linear_table
from residue_batch.matching.samples import sample_light
from residue_batch.scene import Scene, ignored_bit

LOOK_BLUR = 3.0
BRIGHT = 0.8
"""Light above which a place may be glare and says nothing of contrast."""
WINDOW = 8
"""Places per side of the windows whose contrast is compared."""
STRIP = 512
BLURRED_PX2 = 2.0
"""A shot whose blur has this much more variance (frame px^2) than that of the median shot is left out."""
OUTLYING = 2.5
"""So is one whose light leaves this many times the misfit of the median shot, and more than `MISFIT`."""
MISFIT = 0.05


# look -------------------------------------------------------------------------------


def look(state: Building, index: int) -> dict[int, Seen]:
    """Lay one shot over the frame and take its light on a lattice. A shot that cannot be used says why."""
    return _guarded(state, index, _looked_at)


def _guarded(state: Building, index: int, see: Callable[[Building, int], Seen]) -> dict[int, Seen]:
    before = state.seen.get(index, Seen())
    if before.reason:
        return {index: before}
    try:
        return {index: see(state, index)}
    except Refusal as error:
        # without folders: provenance does not depend on where the lot lies
        file = state.shots[index]
        message = error.message.replace(file.path, Path(file.path).name)
        return {index: replace(before, reason=error.reason, message=message)}


def _registered(state: Building, index: int) -> tuple[photo.Photo, Registration]:
    ground, board_type = ground_of(state), state.board_type
    shot = read_photo(board_type, state.shots[index])
    if shot.pixels.shape[2] != ground.channels:
        raise Refusal("colour", "the shot and the frame are not both grey or both colour")
    assert ground.target is not None
    found = register(shot.pixels, ground.target)
    gate_match(board_type.gates, state.origins[index].phase, found)
    return shot, found


def _lattice(shape: tuple[int, int]) -> tuple[slice, int]:
    """Every how many px, from the first on, places are looked at: about 16,000 of them."""
    pitch = max(4, math.ceil((shape[0] * shape[1] / 16384) ** 0.5))
    return slice(pitch // 2, None, pitch), pitch


def _looked_at(state: Building, index: int) -> Seen:
    shot, found = _registered(state, index)
    light, valid = resampled(shot, found, Box.whole(state.shape))
    at, _ = _lattice(state.shape)
    seen = blur(light, LOOK_BLUR)[:, at, at].astype(np.float32) / np.float32(UNSEEN)
    places = np.log(np.maximum(seen, np.float32(0.002))).mean(0)
    places[~valid[at, at] | (seen > BRIGHT).any(0)] = np.nan
    return Seen(shot.sha256, found, places=places)


def looked(state: Building, part: Mapping[int, Seen]) -> Building:
    """The building with the shot that looks cleanest as its first anchor; copies are left out.

    Raises
    ------
    Refusal
        ``lot_reference``: too few shots are left.
    """
    seen = dict(sorted(part.items()))
    first: dict[str, int] = {}
    for index, one in seen.items():
        if not one.reason and first.setdefault(one.sha256, index) != index:
            message = f"the same photograph as {state.origins[first[one.sha256]]}"
            seen[index] = replace(one, reason="duplicate", message=message)
    at, _ = _lattice(state.shape)
    bits = ground_of(state).mask[at, at]
    inside = (bits & 1 > 0) & (bits & ignored_bit(bits) == 0)
    rows, columns = np.indices(inside.shape) // WINDOW
    window = (rows * inside.shape[1] + columns)[inside]
    bare = {index: replace(one, places=None) for index, one in seen.items()}
    state = enough(replace(state, seen=bare))
    places = np.stack([places[inside] for i in state.used if (places := seen[i].places) is not None])
    return replace(state, anchor=state.used[int(cleanness(places, window).argmax())])


# match ------------------------------------------------------------------------------


def match(state: Building, index: int) -> dict[int, Seen]:
    """Find the light of one shot and write it, matched, into the scratch folder."""
    return _guarded(state, index, _matched)


def _matched(state: Building, index: int) -> Seen:
    ground = ground_of(state)
    shot, found = _registered(state, index)
    table = linear_table(shot.pixels.dtype, shot.tone)
    assert ground.anchors is not None
    shade = shade_in(state, index, shot, found)
    samples = sample_light(shot.pixels, table, found.transform, ground.anchors, ground.shape, shade=shade)
    light = fit_light(samples, ground.white, white_assumed=ground.white_assumed)
    state.write(f"shot-{index}.npy", _in_light(shot, found, light, ground, shade))
    return Seen(shot.sha256, found, light)


def _in_light(shot: photo.Photo, found: Registration, light: Light, ground: Scene, shade: Shade | None) -> Array:
    """(h, w, C) uint16: the shot in the frame, in the light of the ground and as sharp; `UNSEEN` outside of it."""
    whole = Box.whole(ground.shape)
    result = np.empty((*ground.shape, ground.channels), np.uint16)
    for strip in tiles(ground.shape, STRIP):
        outer = strip.grow(blur_radius(1.5 * BLUR), whole)
        pixels, valid = resampled(shot, found, outer)
        seen = light.matched(pixels, outer, BLUR, shade)[:, *strip.within(outer)]
        here = result[strip.within(whole)]
        here[...] = np.moveaxis(np.clip(np.rint(seen * np.float32(FULL_SCALE)), 0, UNSEEN - 1), 0, -1)
        here[~strip.crop(valid, outer)] = UNSEEN
    return result


def matched(state: Building, part: Mapping[int, Seen]) -> Building:
    """The building with its matched shots held against each other: blurred and outlying ones are left out.

    Raises
    ------
    Refusal
        ``lot_reference``: too few are left.
    """
    seen = dict(sorted(part.items()))
    good = {index: one.light for index, one in seen.items() if not one.reason and one.light is not None}
    if good:
        blurs = float(np.median([light.extra_blur for light in good.values()]))
        misfit = float(np.median([light.residual for light in good.values()]))
        for index, light in good.items():
            if light.extra_blur > blurs + BLURRED_PX2:
                message = f"blurred by {(light.extra_blur - blurs) ** 0.5:.1f} px more than the median shot"
                seen[index] = replace(seen[index], reason="blurred", message=message)
            elif not light.residual <= max(OUTLYING * misfit, MISFIT):
                message = f"its light leaves {light.residual:.3f}, that of the median shot {misfit:.3f}"
                seen[index] = replace(seen[index], reason="outlying", message=message)
    return enough(replace(state, seen=seen))
