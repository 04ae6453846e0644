"""The measurement budget of a board: how wrong each number may be, and what makes it so.

Every source is a standard deviation in opacity, before and after:

``light``
    What the light fit cannot tell (`light_error`: its covariance times what the load moves with gain and field), and
    a floor for the zero of opacity, which the fit's windows share.
``registration``
    What is left of shifted edges, noise and moved highlights: the noise of opacity, even over patches of `PATCH` px.
``glare``
    Highlights that do not saturate look like residue: metal may be that much too opaque.
``white``
    The colour of residue: one relative error, common to both phases and to all boards of a type.
``hidden``
    The unseen share of the region may have been cleaned otherwise than the seen one.
``film``
    Without a clean reference: film that is in both shots, which only ever makes the true reduction smaller, and the
    guess of the clean colour.

The constants are calibrated on pairs of known truth, composited on real boards and rendered (docs/measurand.md says
how well they hold). The interval is that of Monte Carlo draws of all sources together (JCGM 101); shares are of the
variance, linearised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from residue_batch.evidence import FINE
from residue_batch.matching.light import Light
from residue_batch.matching.light_error import opacity_errors
from residue_batch.measures.load import noise as noise_below_zero
from residue_batch.sampling import ends
from residue_batch.tally import ONE, Tally

F64 = NDArray[np.float64]

SOURCES = ("light", "registration", "glare", "white", "hidden", "film")
DRAWS = 2000

ZERO = 2e-4
"""Zero of opacity where many windows look clean ..."""
ZERO_FILMED, FEW_CLEAN = 2e-3, 0.08
"""... and what is added where few do; it falls with the share of clean windows by this scale."""
PATCH, CALM = 8.0, 0.04
"""px over which noise and shifted edges are even; noise far above CALM is of highlights that moved: larger ones."""
RARE = 0.05
"""Share of pixels below zero under which these are outliers, and do not show the noise of a clean surface."""
GLARE = 0.06
"""Share of what metal shows beyond the rest of the region that may be light."""
GLINT = 0.8
"""Share of it, where metal was cleaned worse or better than the rest: most of that is lamps that moved."""
HIDDEN = 0.5
"""Hidden pixels lie among seen ones: they differ less than blocks do."""
WHITE, WHITE_ASSUMED = 0.15, 0.3
"""Relative error of the colour of residue, from a patch and without one."""
FILM = (1.7, 0.06)
"""`pair`: film in both shots, as a share of what is left and of what was there: scale of an exponential."""
PAIR_ZERO, PAIR_POINTS, PAIR_LEFT = 1.5e-3, 7.65, 0.5
"""`pair`: the zero of opacity between two soiled shots; points, for +-15 at least; share of what is left."""


@dataclass(frozen=True)
class Budget:
    """Standard deviations of a pair of numbers, before and after; ``white`` are derivatives by log W.

    ``hidden`` is of the number after alone; ``film`` the scale of film in both, an exponential.
    """

    before: float
    after: float
    light: tuple[float, float]
    belief: tuple[float, float]
    registration: tuple[float, float]
    glare: tuple[float, float]
    white: tuple[float, float]
    white_error: float
    hidden: float
    film: float = 0.0
    guessed: float = 0.0
    """Standard deviation of the number after, by a clean colour that was guessed."""

    def draws(self, random: np.random.Generator) -> tuple[F64, F64]:
        """Numbers before and after as they might truly be, `DRAWS` of each."""
        z = random.standard_normal((6, DRAWS))
        film = random.standard_exponential(DRAWS) * self.film
        own = self.own
        belief, white = z[2], z[3] * self.white_error
        before = self.before + own[0] * z[0] + self.belief[0] * belief + self.white[0] * white + film
        after = self.after + own[1] * z[1] + self.belief[1] * belief + self.white[1] * white + film
        return before, after + self.hidden * z[4] + self.guessed * z[5]

    @property
    def own(self) -> tuple[float, float]:
        """Standard deviations of what each shot has for itself."""
        parts = zip(self.light, self.registration, self.glare, strict=True)
        before, after = (math.hypot(*part) for part in parts)
        return before, after

    @property
    def covariance(self) -> tuple[float, float, float]:
        """(variance before, covariance, variance after) of what differs from board to board: all but white and film."""
        own, (before, after) = self.own, self.belief
        return own[0] ** 2 + before**2, before * after, own[1] ** 2 + after**2 + self.hidden**2 + self.guessed**2

    @property
    def shares(self) -> dict[str, float]:
        """Per cent of the variance of the reduction that each source makes."""
        rest = self.after / self.before if self.before > 0 else 1.0
        variance = {
            "light": (rest * self.light[0]) ** 2 + self.light[1] ** 2 + (self.belief[1] - rest * self.belief[0]) ** 2,
            "registration": (rest * self.registration[0]) ** 2 + self.registration[1] ** 2,
            "glare": (rest * self.glare[0]) ** 2 + self.glare[1] ** 2,
            "white": ((self.white[1] - rest * self.white[0]) * self.white_error) ** 2,
            "hidden": self.hidden**2,
            "film": ((1 - rest) * self.film) ** 2 + self.guessed**2,
        }
        total = math.fsum(variance.values())
        return {name: 100 * v / total if total > 0 else math.nan for name, v in variance.items()}


def reduction_interval(before: F64, after: F64, estimate: float) -> tuple[float, float]:
    """95 % interval of ``100 (1 - after / before)`` over draws; holds the estimate."""
    sound = before > 0
    if not math.isfinite(estimate) or sound.mean() < 0.975:
        return math.nan, math.nan
    low, high = ends(100 * (1 - after[sound] / before[sound]))
    return min(low, estimate), max(high, estimate)


def difference_interval(before: F64, after: F64) -> tuple[float, float]:
    """95 % interval of ``after - before`` over draws."""
    return ends(after - before)


def guess_error(before: float, after: float) -> float:
    """Standard deviation of a number after cleaning, where the clean colour was guessed from the two shots."""
    return math.hypot(PAIR_ZERO, PAIR_POINTS / 100 * max(before, 0.0), PAIR_LEFT * max(after, 0.0))


def zero_error(light: Light) -> float:
    """Standard deviation of the zero of opacity of a shot: worst where no window of the board looks clean."""
    return 0.0 if not light.samples else ZERO + ZERO_FILMED * math.exp(-light.clean_share / FEW_CLEAN)


def light_errors(light: Light, leverage: F64) -> tuple[float, float]:
    """(standard deviation, signed part that both shots of a board share) of a load by the light of its shot.

    ``leverage`` (C + 5,): its derivatives by gain and field, from `evidence`.
    """
    spread, belief = opacity_errors(light, leverage)
    return math.hypot(spread, zero_error(light)), belief


def leverages(tally: Tally, phase: str, index: int, samples: int) -> F64:
    """(2 C + 5,): mean over the samples of a region, from its evidence."""
    return np.asarray(tally[f"evidence/leverage/{phase}/{index}"], np.float64) / (FINE * samples)


def glare_errors(metal: NDArray[np.int64], whole: NDArray[np.int64]) -> tuple[float, float]:
    """Standard deviations of the loads by highlights below saturation.

    ``metal`` and ``whole`` are (samples, sum of opacity before, after). Residue lies on metal about as on the rest, so
    a share `GLARE` of what metal has beyond that is taken to be light. A cleaner takes off metal about as much as off
    the rest: of what metal shows after cleaning beyond that, a share `GLINT` is.
    """
    samples, rest = int(metal[0]), int(whole[0] - metal[0])
    if not samples or not rest:
        return 0.0, 0.0
    scale = samples / float(whole[0]) / ONE
    on_metal, beside = (
        [float(v) / n for v in sums] for sums, n in ((metal[1:], samples), (whole[1:] - metal[1:], rest))
    )
    before, after = (GLARE * abs(m - r) * scale for m, r in zip(on_metal, beside, strict=True))
    left = min(max(beside[1] / beside[0], 0.0), 2.0) if beside[0] > 0 else 1.0
    return before, math.hypot(after, GLINT * abs(on_metal[1] - left * on_metal[0]) * scale)


def clean_noise(own: Tally, whole: Sequence[Tally]) -> float:
    """Standard deviation of opacity on a clean surface, for a region of one shot.

    Where residue lies everywhere hardly a pixel is below zero, and those are outliers: there noise is as on the whole
    board, or as often as the outliers are.

    Parameters
    ----------
    own
        The sums of ``load`` in the region.
    whole
        Those of the whole board, of this shot first.
    """
    if _share_below(own) >= RARE:
        return noise_below_zero(own)
    known = [noise_below_zero(sums) for sums in whole if _share_below(sums) >= RARE]
    everywhere = math.sqrt(2 * int(own["negative_squares"]) / max(int(own["pixels"]), 1)) / ONE
    found = max(everywhere, known[0] if known else CALM)
    return min(found, noise_below_zero(own)) if int(own["negative"]) else found


def _share_below(sums: Tally) -> float:
    return int(sums["negative"]) / max(int(sums["pixels"]), 1)


def local_error(noise: float, pixels: int) -> float:
    """Standard deviation of a load by noise and shifted edges: even over patches, independent between them."""
    if not pixels or not math.isfinite(noise):
        return 0.0
    return noise * PATCH * (1.0 + (noise / CALM) ** 2) / math.sqrt(pixels)


def hidden_error(before: float, sampling: tuple[float, float], unseen: float) -> float:
    """Standard deviation of a number after cleaning, for a share ``unseen`` of the region that is not seen.

    The reduction of a share f of the area differs from that of the rest as two samples of blocks differ; what the
    whole differs by is ``sqrt(f)`` of the sampling error of the seen part.
    """
    width = sampling[1] - sampling[0]
    return HIDDEN * before * width / 3.92 / 100 * math.sqrt(max(unseen, 0.0)) if math.isfinite(width) else 0.0
