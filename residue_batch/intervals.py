"""The two intervals of every number of a board, from its evidence: how wrong it may be, how another board may differ.

Deterministic: the evidence is exact sums, and they seed the random numbers: the same pixels have the same intervals,
whatever the board is called and however its files are packed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from residue_batch import budget
from residue_batch.budget import SOURCES, Budget, difference_interval, reduction_interval
from residue_batch.evidence import levels_of, width_of
from residue_batch.program import PHASES, Measured, load_measure
from residue_batch.sampling import block_covariance, ends, sampling_interval, stream
from residue_batch.tally import ONE, Tally
from residue_batch.variables import INTERVALS

COMPONENTS = (
    *("measurement_before", "measurement_covariance", "measurement_after", "white_before", "white_after"),
    *("sampling_before", "sampling_covariance", "sampling_after"),
)
"""What a lot needs of a load: variances and covariances of its errors; ``white`` is one error common to all boards."""
_LIMIT = 1.645
"""One-sided 95 %."""


class Limits(NamedTuple):
    """What a region's budget says of its loads; opacities."""

    error: tuple[float, float]
    change: tuple[float, float]
    before: tuple[float, float]

    @property
    def blank(self) -> tuple[float, float]:
        """Limits of blank, before and after."""
        return _LIMIT * self.error[0], _LIMIT * self.error[1]

    @property
    def detection(self) -> tuple[float, float]:
        """Limits of detection, before and after."""
        return 2 * _LIMIT * self.error[0], 2 * _LIMIT * self.error[1]


@dataclass(frozen=True)
class Intervals:
    """Values by variable, ``[region]`` or ``[region][tau]`` and so on, and what else a record says of them."""

    values: dict[str, Any] = field(default_factory=dict)
    limits: tuple[Limits | None, ...] = ()
    light_error: Mapping[str, float] = field(default_factory=dict)


class _Region(NamedTuple):
    """The evidence of one region."""

    number: int
    blocks: NDArray[np.int64]
    near: NDArray[np.int64]
    metal: NDArray[np.int64]
    leverage: tuple[NDArray[np.float64], NDArray[np.float64]]
    pixels: int
    unseen: float

    @property
    def samples(self) -> int:
        return int(self.blocks[0].sum())


def intervals_of(board: Any, scene: Any, tally: Tally, values: Mapping[str, Any], observable: list[float]) -> Intervals:
    """The intervals of a board; nothing where its workflow has no load, or the tally no evidence.

    Parameters
    ----------
    board, scene, tally
        As `outcome.conclude` takes them.
    values
        The numbers of the measures.
    observable
        Per cent of each region that is observable.
    """
    primary = load_measure(board.setting.program)
    if primary is None or primary.phases != PHASES:
        return Intervals()
    # a load of the whole board has no other region
    given = len(values[primary.key][0])
    regions = [_region(tally, index, share) if index < given else None for index, share in enumerate(observable)]
    if not any(regions):
        return Intervals()
    found = _Table(board, scene, values, primary, len(regions))
    limits = [found.region(region, tally) if region else None for region in regions]
    whole = regions[0]
    error = {p: math.hypot(*e) for p, e in zip(PHASES, found.light(whole), strict=True)} if whole else {}
    glare = f"{primary.key}_under_glare_pct"  # by phase, as loads are
    by_phase = {glare: [list(phase) for phase in zip(*found.values[glare], strict=True)]}
    return Intervals(found.values | by_phase, tuple(limits), error)


def _region(tally: Tally, index: int, observable: float) -> _Region | None:
    blocks = tally.get(f"evidence/blocks/{index}")
    if blocks is None or not blocks[0].any():
        return None
    here = blocks[:, blocks[0] > 0]
    leverage = [budget.leverages(tally, phase, index, int(here[0].sum())) for phase in PHASES]
    pixels = int(tally.get(f"observable/{index}", 0))
    near, metal = tally[f"evidence/near/{index}"], tally[f"evidence/metal/{index}"]
    return _Region(index, here, near, metal, (leverage[0], leverage[1]), pixels, 1 - observable / 100)


class _Table:
    """The values as they fill up, region by region."""

    def __init__(self, board: Any, scene: Any, values: Mapping[str, Any], primary: Measured, count: int) -> None:
        self.board, self.measured, self.primary, self.count = board, values, primary.key, count
        self.pair = board.setting.program.reference == "pair"
        self.levels = list(levels_of(board.setting.program))
        self.lights = [board.matches[phase].light for phase in PHASES]
        self.channels = scene.channels
        self.white = budget.WHITE_ASSUMED if scene.white_assumed else budget.WHITE
        self.values: dict[str, Any] = {}

    def put(self, name: str, index: int, value: Any, tau: int | None = None, taus: int = 0) -> None:
        """One number of a region into its variable."""
        width = taus if tau is not None else len(value) if isinstance(value, list) else 0
        blank = [math.nan] * width if width else math.nan
        table = self.values.setdefault(name, [list(blank) if isinstance(blank, list) else blank] * self.count)
        if tau is None:
            table[index] = value
            return
        table[index] = [value if k == tau else old for k, old in enumerate(table[index])]

    def light(self, region: _Region) -> list[tuple[float, float]]:
        """By phase, the errors of the load by the light of its shot: its own, and what both shots share."""
        pairs = zip(self.lights, region.leverage, strict=True)
        return [budget.light_errors(light, leverage[: self.channels + 5]) for light, leverage in pairs]

    def region(self, region: _Region, tally: Tally) -> Limits:
        """Everything about one region."""
        before, after = (float(row[region.number]) for row in self.measured[self.primary])
        random = stream(hashlib.sha256(region.blocks.astype("<i8").tobytes()).hexdigest(), region.number)
        sampling = sampling_interval(region.blocks[1::2], region.blocks[2::2], random)
        load = self._load(region, tally, before, after, sampling[0])
        draws = load.draws(random)
        change = difference_interval(*draws)
        name = f"{self.primary}_reduction_pct"
        reduction = float(self.measured[name][region.number])
        self._four(name, region.number, reduction_interval(*draws, reduction), sampling[0])
        self.put(f"{self.primary}_change", region.number, after - before)
        for end, value in zip(("low", "high"), change, strict=True):
            self.put(f"{self.primary}_change_{end}", region.number, value)
        self.put(f"{name}_share", region.number, [load.shares[source] for source in SOURCES])
        spread = block_covariance(*region.blocks[:3])
        components = (*load.covariance, *(w * load.white_error for w in load.white), *(v / ONE**2 for v in spread))
        self.put(f"{self.primary}_uncertainty", region.number, list(components))
        self._hidden(region, tally)
        self._areas(region, load, sampling[1:], random)
        error = [math.hypot(a, b) for a, b in zip(load.own, load.belief, strict=True)]
        return Limits((error[0], error[1]), change, ends(draws[0]))

    def _load(
        self, region: _Region, tally: Tally, before: float, after: float, sampling: tuple[float, float]
    ) -> Budget:
        own, whole = ([self._sums(tally, phase, k) for phase in PHASES] for k in (region.number, 0))
        noise = (budget.clean_noise(own[0], whole), budget.clean_noise(own[1], whole[::-1]))
        local = [budget.local_error(sd, region.pixels) for sd in noise]
        white = [float(leverage[self.channels + 5 :].sum()) for leverage in region.leverage]
        light, glare = self.light(region), budget.glare_errors(region.metal, region.blocks[:3].sum(axis=1))
        share, base = budget.FILM
        return Budget(
            before=before,
            after=after,
            light=(light[0][0], light[1][0]),
            belief=(light[0][1], light[1][1]),
            glare=glare,
            registration=(local[0], local[1]),
            white=(white[0], white[1]),
            white_error=self.white,
            hidden=budget.hidden_error(before, sampling, region.unseen),
            film=share * max(after, 0.0) + base * max(before, 0.0) if self.pair else 0.0,
            guessed=budget.guess_error(before, after) if self.pair else 0.0,
        )

    def _sums(self, tally: Tally, phase: str, region: int) -> Tally:
        """What the noise of a region is judged by."""
        start = f"{self.primary}/{phase}/{region}"
        return {name: tally[f"{start}/{name}"] for name in ("pixels", "negative", "negative_squares")}

    def _four(self, name: str, index: int, own: tuple[float, float], sampling: tuple[float, float], *tau: int) -> None:
        for kind, value in zip(INTERVALS, (*own, *sampling), strict=True):
            self.put(f"{name}_{kind}", index, value, *tau)

    def _hidden(self, region: _Region, tally: Tally) -> None:
        """What only one shot shows: bounds of the reduction if everything, or nothing, were gone under the glare."""
        hidden = tally.get(f"evidence/hidden/{region.number}", (0, 0, 0, 0))
        samples, lost, _, lost_after = (int(v) for v in hidden)
        _, before, after = (int(row.sum()) for row in region.blocks[:3])
        name = f"{self.primary}_reduction"
        total = before + lost
        for end, rest in (("best", after), ("worst", after + lost)):
            self.put(f"{name}_{end}_pct", region.number, 100 * (1 - rest / total) if total > 0 else math.nan)
        shares = [
            100 * part / all_ if all_ > 0 else math.nan
            for part, all_ in ((lost, total), (lost_after, after + lost_after))
        ]
        self.put(f"{self.primary}_under_glare_pct", region.number, shares)
        share = samples / region.samples * (1 - region.unseen)
        self.put("unseen_pct", region.number, 100 * max(region.unseen - share, 0.0))

    def _areas(
        self, region: _Region, load: Budget, sampling: list[tuple[float, float]], random: np.random.Generator
    ) -> None:
        """Areas: the errors of opacity, times how many samples lie near the level."""
        for place, (measured, tau) in enumerate(self.levels):
            parameters = dict(measured.measure.parameters)
            taus, main = parameters["tau"], parameters["main"]
            at = taus.index(tau)
            before, after = (row[region.number][at] for row in self.measured[measured.key])
            near = region.near[2 * place : 2 * place + 2] / (2 * width_of(tau) * region.samples)
            own = Budget(
                before=before,
                after=after,
                **{
                    name: tuple(error * share for error, share in zip(getattr(load, name), near, strict=True))
                    for name in ("light", "belief", "registration", "glare")
                },
                white=(tau * near[0], tau * near[1]),
                white_error=self.white,
                hidden=budget.hidden_error(before, sampling[place], region.unseen),
                film=load.film * (near[0] + near[1]) / 2,
                guessed=budget.guess_error(before, after) if self.pair else 0.0,
            )
            draws = own.draws(random)
            name = f"{measured.key}_reduction_pct"
            interval = reduction_interval(*draws, float(self.measured[name][region.number][at]))
            self._four(name, region.number, interval, sampling[place], at, len(taus))
            if tau == main:
                self._four(f"{measured.key}_main_reduction_pct", region.number, interval, sampling[place])
