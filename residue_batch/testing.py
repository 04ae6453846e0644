"""The contract suite: what every step and measure must hold, shipped and plugged in alike.

    import my_steps
    from residue_batch.testing import check_step

    def test_my_step_keeps_the_contract():
        check_step("my_step")

Each check raises ``AssertionError`` with the example and the law that broke.
The parameters that are tried stand at the step: ``@step(examples=({...}, {...}))``.
"""

from __future__ import annotations

import inspect
import pickle
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from residue_batch.geometry import Box, tiles
from residue_batch.measure import MEASURES, BoundMeasure, Measure
from residue_batch.step import CODES, STEPS, Array, Bound, Kind, ParameterError, Signature, Step, floats
from residue_batch.tally import Tally, merge_all

PIXEL_SIZE_UM = 20.0
"""The scale at which examples in millimetres are resolved."""

FRAME = (131, 167)
TILE_SIZES = (23, 37, 50, 91)
_EDGE_FRAMES = ((1, 1), (1, 40), (40, 1), (7, 5))
_VARIANTS = ((3, np.uint8), (1, np.uint16))

_Value = TypeVar("_Value", Bound, BoundMeasure)


@dataclass(frozen=True)
class _Case:
    """Read-only inputs on a whole frame."""

    frame: tuple[int, int]
    planes: tuple[Array, ...]
    where: Array

    @property
    def whole(self) -> Box:
        return Box.whole(self.frame)

    def cut(self, array: Array, box: Box) -> Array:
        """The view that the engine would hand over."""
        return array if array.ndim == 1 else array[(..., *box.within(self.whole))]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _same(left: Array, right: Array) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def _sloped_mask(rng: np.random.Generator, frame: tuple[int, int]) -> Array:
    """A mask from empty at the left to full at the right: sparse points, clutter and small holes."""
    slope = np.linspace(-0.1, 1.1, frame[1])
    mask = rng.random(frame) < slope
    mask[: frame[0] // 5, : frame[1] // 4] = False
    mask[-(frame[0] // 5) :, -(frame[1] // 4) :] = True
    return mask


def sample_plane(kind: str, rng: np.random.Generator, frame: tuple[int, int], channels: int, code: Any) -> Array:
    """A plane of this kind with noise, single bright pixels, saturation and exact zeros in it."""
    if kind == CODES:
        return np.asarray(sample_plane(Kind.RAW, rng, frame, 1, np.uint8)[0])
    points = rng.random(frame) < 0.01
    if kind is Kind.MASK:
        return _sloped_mask(rng, frame)
    if kind is Kind.WHITE:
        return np.array([0.8, 0.85, 0.9], np.float32)[:channels]
    if kind is Kind.SCALAR:
        plane = rng.normal(0.2, 0.4, frame).astype(np.float32)
        plane[points] = 3
        plane[rng.random(frame) < 0.05] = 0
        return plane
    colour = rng.random((channels, *frame), np.float32)
    # where board and residue look alike
    colour[:, rng.random(frame) < 0.02] = np.array([0.8, 0.85, 0.9], np.float32)[:channels, None]
    if kind is Kind.COLOUR:
        return colour
    raw = (colour * np.iinfo(code).max).astype(code)
    raw[:, points] = np.iinfo(code).max
    return raw


def _cases(signature: Signature, frame: tuple[int, int]) -> Iterator[_Case]:
    """Inputs of every kind the signature takes: three channels in 8 bit, one in 16; code values where it takes them."""
    inputs = signature.inputs * 3 if signature.variadic else signature.inputs
    kinds = [(*i.kinds, CODES) if i.codes else i.kinds for i in inputs]
    for turn in range(max(map(len, kinds))):
        for channels, code in _VARIANTS:
            rng = np.random.default_rng(20 * turn + channels)
            planes = [sample_plane(k[turn % len(k)], rng, frame, channels, code) for k in kinds]
            where = ~_sloped_mask(rng, frame)
            for array in (*planes, where):
                array.setflags(write=False)
            yield _Case(frame, tuple(planes), where)


def _poisoned(case: _Case) -> _Case:
    """The same inputs with something else outside ``where``: NaN, or every bit turned over."""
    planes = []
    for plane in case.planes:
        changed = plane.copy()
        if plane.ndim > 1:
            hidden = changed[..., ~case.where]
            changed[..., ~case.where] = np.nan if plane.dtype.kind == "f" else ~hidden
        planes.append(changed)
    return _Case(case.frame, tuple(planes), case.where)


def _odd_cases(signature: Signature, frames: tuple[tuple[int, int], ...]) -> Iterator[_Case]:
    """Small frames, and all of the masks or ``where`` empty or full."""
    for frame in frames:
        for case in _cases(signature, frame):
            yield case
            for value in (False, True):
                even = np.full(frame, value)
                yield _Case(frame, case.planes, even)
                yield _Case(frame, tuple(even if p.dtype == np.bool_ else p for p in case.planes), case.where)


def _documented(what: str, signature: Signature) -> None:
    first = signature.doc.splitlines()[0]
    _require(first.endswith("."), f"{what}: the docstring does not begin with one sentence on one line")
    for key in (*(i.name for i in signature.inputs), *signature.keys):
        _require(re.search(rf"\b{key}\b", signature.doc) is not None, f"{what}: {key!r} is not documented")
    signature.model.model_json_schema()


def _bound(make: Callable[..., _Value], entry: Step | Measure, example: Mapping[str, Any]) -> _Value:
    signature = entry.signature
    bound = make(signature.name, entry.version, signature.validate(example, PIXEL_SIZE_UM))
    again = pickle.loads(pickle.dumps(bound))  # noqa: S301  bytes made in this line
    _require(again == bound and hash(again) == hash(bound), f"{signature.name}: does not pickle as a value")
    return bound


def _refuses_unknown(signature: Signature) -> None:
    try:
        signature.validate({"no_such_parameter": 1}, PIXEL_SIZE_UM)
    except ParameterError:
        return
    raise AssertionError(f"{signature.name}: takes an unknown parameter")


# steps


def _fitted(bound: Bound, case: _Case, boxes: list[Box]) -> Any:
    """What the step's fit decides from these tiles."""
    if bound.definition.fit is None:
        return None
    parts = [
        bound.fit_chunk(
            *(case.cut(p, box) for p in case.planes), where=case.cut(case.where, box), at=box, frame=case.frame
        )
        for box in boxes
    ]
    fitted = bound.decide(merge_all(parts), case.frame)
    _require(pickle.loads(pickle.dumps(fitted)) == fitted, f"{bound.name}: the fitted value is not a value")  # noqa: S301
    hash(fitted)
    return fitted


def _tiled(bound: Bound, case: _Case, boxes: list[Box], halo: int, fitted: Any) -> Array:
    """The step run tile by tile, as the engine does it: grown, clipped at the frame's edge, cropped."""
    out: Array | None = None
    for box in boxes:
        reach = box.grow(halo, case.whole)
        planes = [case.cut(p, reach) for p in case.planes]
        made = bound(*planes, where=case.cut(case.where, reach), at=reach, frame=case.frame, fitted=fitted)
        _output(bound, made, reach)
        if out is None:
            out = np.empty((*made.shape[:-2], *case.frame), made.dtype)
        out[(..., *box.within(case.whole))] = made[(..., *box.within(reach))]
    assert out is not None
    return out


def _output(bound: Bound, made: Array, box: Box) -> None:
    signature = bound.definition.signature
    kind, want = signature.output, np.dtype(np.bool_ if signature.output is Kind.MASK else np.float32)
    if kind is not Kind.RAW and not (signature.codes and made.dtype == np.uint8):
        _require(made.dtype == want, f"{bound}: returns {made.dtype}, not {want}")
    dimensions = 2 if kind in (Kind.SCALAR, Kind.MASK) else 3
    fits = made.ndim == dimensions and made.shape[-2:] == box.shape
    _require(fits, f"{bound}: returns the shape {made.shape} on {box.shape}")


def _grid(case: _Case, size: int) -> list[Box]:
    return list(tiles(case.frame, size))


def _check_tiling(bound: Bound, case: _Case) -> bool:
    """Every law of tiles; returns whether a halo one pixel smaller is seen to be too small."""
    before = [p.tobytes() for p in case.planes]
    fitted = _fitted(bound, case, [case.whole])
    whole = _tiled(bound, case, [case.whole], 0, fitted)
    _require([p.tobytes() for p in case.planes] == before, f"{bound}: changes its input")
    _require(_same(whole, _tiled(bound, case, [case.whole], 0, fitted)), f"{bound}: differs from call to call")
    tight = False
    for size in TILE_SIZES:
        boxes = _grid(case, size)
        random.Random(size).shuffle(boxes)  # noqa: S311  any order will do
        _require(_fitted(bound, case, boxes) == fitted, f"{bound}: the fit depends on tiles of {size} px")
        made = _tiled(bound, case, boxes, bound.halo, fitted)
        _require(_same(made, whole), f"{bound}: tiles of {size} px differ from the whole frame")
        if bound.halo:
            tight |= not _same(_tiled(bound, case, boxes, bound.halo - 1, fitted), whole)
    return tight


def _reads_where(bound: Bound) -> bool:
    fit = bound.definition.fit
    fitted_inside = fit is not None and "where" in inspect.signature(fit.chunk).parameters
    return fitted_inside or "where" in bound.definition.signature.given


def _check_where(bound: Bound, case: _Case) -> None:
    """What lies outside ``where`` does not count."""
    boxes, poisoned = [case.whole], _poisoned(case)
    clean = _tiled(bound, case, boxes, 0, _fitted(bound, case, boxes))
    dirty = _tiled(bound, poisoned, boxes, 0, _fitted(bound, poisoned, boxes))
    _require(_same(clean[..., case.where], dirty[..., case.where]), f"{bound}: pixels outside 'where' count")


def _check_fused(bound: Bound, case: _Case) -> None:
    """What is done at once with a step that reads the plane is what that step makes of it."""
    fitted = _fitted(bound, case, [case.whole])
    given = {"where": case.where, "at": case.whole, "frame": case.frame, "fitted": fitted}
    made = bound(*case.planes, **given)
    for into in bound.definition.fuses:
        reader = STEPS[into]
        rng = np.random.default_rng(1)
        before = [sample_plane(i.kinds[0], rng, case.frame, 3, np.uint8) for i in reader.signature.inputs[:-1]]
        apart = Bound(into, reader.version, ())(*before, made, **given)
        together = replace(bound, into=into)(*before, *case.planes, **given)
        _require(_same(apart, together), f"{bound}: fused into {into!r} it differs")


def _check_codes(bound: Bound, case: _Case) -> None:
    """Of code values is made what is made of the floats they stand for."""
    if not any(bound.takes_codes):
        return
    apart = replace(case, planes=tuple(map(floats, case.planes)))
    fitted = _fitted(bound, case, [case.whole])
    _require(fitted == _fitted(bound, apart, [case.whole]), f"{bound}: fits code values otherwise than floats")
    made, of_floats = (_tiled(bound, c, [c.whole], 0, fitted) for c in (case, apart))
    _require(_same(floats(made), floats(of_floats)), f"{bound}: makes something else of code values than of floats")


def check_step(name: str) -> None:
    """Check every law of a registered step.

    * tiled with its halo is the same as the whole frame, bit for bit, at four tile sizes;
    * the halo is tight: one pixel less differs for at least one example;
    * a fit does not depend on tiles or their order, and decides a value;
    * what lies outside ``where`` does not count;
    * fused with another step it makes what the two make apart;
    * where it takes code values, these give the same as the floats they stand for;
    * inputs (read-only, not contiguous) stay as they are; the output has its kind's shape and dtype;
    * one-pixel frames, empty and full masks work, without a warning;
    * with its parameters it is a value that pickles; it is documented.

    Raises
    ------
    AssertionError
        With the law that does not hold.
    """
    definition = STEPS[name]
    _documented(name, definition.signature)
    _refuses_unknown(definition.signature)
    halos, tight = False, False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for example in definition.examples:
            bound = _bound(Bound, definition, example)
            fresh = pickle.dumps(bound)
            halos |= bound.halo > 0
            _require(pickle.dumps(bound) == fresh, f"{bound}: pickles otherwise once its halo is known")
            for case in _cases(definition.signature, FRAME):
                tight |= _check_tiling(bound, case)
                if _reads_where(bound):
                    _check_where(bound, case)
            for case in _odd_cases(definition.signature, (*_EDGE_FRAMES, FRAME)):
                _tiled(bound, case, [case.whole], 0, _fitted(bound, case, [case.whole]))
                _check_fused(bound, case)
                _check_codes(bound, case)
    _require(tight or not halos, f"{name}: a halo one pixel smaller gives the same; it reads more than it needs")


# measures


def _tally(bound: BoundMeasure, case: _Case, boxes: list[Box]) -> Tally:
    parts = []
    for box in boxes:
        where = case.cut(case.where, box)
        part = bound(*(case.cut(p, box) for p in case.planes), where=where, at=box, frame=case.frame)
        for key, value in part.items():
            _require(value.dtype.kind in "iu", f"{bound}: {key!r} is {value.dtype}; only integers merge exactly")
        parts.append(part)
    return merge_all(parts)


def _equal(bound: BoundMeasure, left: Tally, right: Tally) -> bool:
    """Whether two tallies come to the same numbers, to the last bit; they may be written differently."""
    one, other = bound.finalize(left), bound.finalize(right)
    return one.keys() == other.keys() and all(
        np.array_equal(np.asarray(one[k], float), np.asarray(other[k], float), equal_nan=True) for k in one
    )


def _check_outputs(bound: BoundMeasure, tally: Tally) -> None:
    found, outputs = bound.finalize(tally), bound.definition.outputs
    names = [o.name for o in outputs]
    _require(len(set(names)) == len(names), f"{bound}: two outputs have one name")
    _require(set(found) == set(names), f"{bound}: declares the outputs {names} and returns {list(found)}")
    for output in outputs:
        value = found[output.name]
        _require(bool(output.unit and output.long_name), f"{bound}: output {output.name!r} has no unit or long name")
        if output.dim is None:
            _require(np.ndim(value) == 0, f"{bound}: output {output.name!r} is not one number")
        else:
            length = len(dict(bound.parameters)[output.dim])
            _require(np.shape(value) == (length,), f"{bound}: output {output.name!r} does not follow {output.dim!r}")
        np.asarray(value, np.float64)


def check_measure(name: str) -> None:
    """Check every law of a registered measure.

    * the numbers do not depend on tiles or their order; the tallies are made of integers;
    * what lies outside ``where`` does not count;
    * the outputs are those that are declared, also without any pixel;
    * inputs stay as they are; one-pixel frames, empty and full masks work, without a warning;
    * with its parameters it is a value that pickles; it is documented.

    Raises
    ------
    AssertionError
        With the law that does not hold.
    """
    definition = MEASURES[name]
    _documented(name, definition.signature)
    _refuses_unknown(definition.signature)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for example in definition.examples:
            bound = _bound(BoundMeasure, definition, example)
            for case in _cases(definition.signature, FRAME):
                _check_merging(bound, case)
            for case in _odd_cases(definition.signature, (*_EDGE_FRAMES, FRAME)):
                _check_outputs(bound, _tally(bound, case, [case.whole]))


def _check_merging(bound: BoundMeasure, case: _Case) -> None:
    before = [p.tobytes() for p in (*case.planes, case.where)]
    whole = _tally(bound, case, [case.whole])
    _require([p.tobytes() for p in (*case.planes, case.where)] == before, f"{bound}: changes its input")
    _check_outputs(bound, whole)
    for size in TILE_SIZES:
        boxes = _grid(case, size)
        random.Random(size).shuffle(boxes)  # noqa: S311  any order will do
        _require(_equal(bound, _tally(bound, case, boxes), whole), f"{bound}: the numbers depend on tiles of {size} px")
    poisoned = _tally(bound, _poisoned(case), [case.whole])
    _require(_equal(bound, poisoned, whole), f"{bound}: pixels outside 'where' count")
