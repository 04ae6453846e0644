"""Every way that is measured: what is started, on which pictures, how many boards and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

SLOW, FAST = 2, 12
"""Boards of each worker after its first, so that fast ways take some ten seconds and slow ones meet three boards."""

WORKFLOWS = {"workload": str(Path(__file__).with_name("workload.yaml")), "flux_residue": "flux_residue"}


@dataclass(frozen=True)
class Way:
    """One line of the table.

    ``given`` are its arguments; ``work`` is ``floor``, ``workload`` or ``flux_residue``. ``in_turn`` boards are
    measured at the same time. ``once``: in the first turn only, for slow ways that feed no limit.
    """

    name: str
    label: str
    work: str
    module: str
    given: tuple[str, ...] = ()
    rounds: int = FAST
    form: str = "jpg"
    in_turn: int = 1
    once: bool = False

    @property
    def boards(self) -> int:
        """How many boards it measures: one more for each worker, which does not count."""
        return (self.rounds + 1) * self.in_turn


def _floors(form: str) -> list[Way]:
    label = {"none": "decode", "zarr": "decode + write, zarr-python", "store": "decode + write, our writer"}
    return [
        Way(f"floor_{write}_{form}", f"floor: {text}{_of(form)}", "floor", "benchmarks.peers.floors",
            ("--write", write), form=form)
        for write, text in label.items()
    ]  # fmt: skip


def _of(form: str) -> str:
    return "" if form == "jpg" else f", {form.upper()}"


OURS = "residue run, the same workload"


def _ours(work: str, short: str, text: str) -> list[Way]:
    """A workflow of ours: in the command itself, on a cluster of one and of two, in a bare pool of two."""
    kinds = [
        ("inline", "1 process", ("--workers", "0"), 1),
        ("cluster_1", "LocalCluster of 1", ("--workers", "1"), 1),
        ("cluster_2", "LocalCluster of 2", ("--workers", "2"), 2),
        ("pool_2", "bare pool of 2", ("--pool", "2"), 2),
    ]
    return [
        Way(f"{short}_{kind}", f"{text}, {where}", work, "benchmarks.ours", given, in_turn=in_turn)
        for kind, where, given, in_turn in kinds
    ]


PEERS = "benchmarks.peers."
TWO = ("--workers", "2")
_WORKLOAD, _FLUX = _ours("workload", "workload", OURS), _ours("flux_residue", "flux", "residue run, flux_residue")
# what is compared runs close together: the machine changes by the minute
WAYS: tuple[Way, ...] = (
    *_floors("jpg"),
    _WORKLOAD[0],
    _FLUX[0],
    Way("opencv", "OpenCV script, float32", "workload", PEERS + "opencv", rounds=SLOW),
    Way("opencv_coarse", "OpenCV script, ground on a quarter grid", "workload", PEERS + "opencv", ("--coarse",),
        SLOW),
    Way("scikit_image", "scikit-image script", "workload", PEERS + "scikit_image", rounds=SLOW),
    Way("dask_image", "dask-image, threads", "workload", PEERS + "dask_image", TWO, SLOW),
    *_WORKLOAD[1:],
    *_FLUX[1:],
    *(
        way
        for form in ("png", "tif")
        for way in (
            *_floors(form),
            Way(f"workload_{form}", f"{OURS}{_of(form)}", "workload", "benchmarks.ours", ("--workers", "0"), form=form),
        )
    ),
    *(
        replace(way, once=True)
        for way in (
            Way("opencv_pool", "OpenCV, Pool(2)", "workload", PEERS + "opencv", TWO, SLOW, in_turn=2),
            Way("scikit_image_pool", "scikit-image, Pool(2)", "workload", PEERS + "scikit_image", TWO, SLOW, in_turn=2),
            Way("dask_image_cluster", "dask-image, cluster", "workload", PEERS + "dask_image", (*TWO, "--cluster"),
                SLOW),
            Way("plantcv", "PlantCV script, not mask-aware", "workload", PEERS + "plantcv", rounds=SLOW),
            Way("plantcv_runner", "PlantCV, its parallel runner, 2", "workload", PEERS + "plantcv_runner", TWO, SLOW,
                in_turn=2),
        )
    ),
)  # fmt: skip
