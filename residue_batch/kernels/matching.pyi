from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Window: TypeAlias = tuple[int, int, int, int]
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
U16: TypeAlias = NDArray[np.uint16]
Mask: TypeAlias = NDArray[np.bool_]

def window_samples(
    shot: NDArray[np.uint8] | U16,
    table: U16,
    matrix: F64,
    bend: F64,
    outer: NDArray[np.int64],
    inner: NDArray[np.int64],
    weights: F32,
    reach: int,
    limit: int,
    steps: tuple[int, int],
    shape: tuple[int, int],
) -> tuple[U16, Mask]: ...
def light_sums(
    ratio: F64,
    contrast: F64,
    bend: F64,
    terms: F64,
    starts: NDArray[np.int64],
    solved: F64,
    film: F64,
    widen: float,
    noise: float,
    speckle: float,
    uneven: float,
    tukey: float,
) -> tuple[F64, F64, F64]: ...
def normal_below(values: F64) -> F64: ...
def block_means(image: NDArray[np.uint8], down: int, across: int) -> NDArray[np.uint8]: ...
def cubic_window(shot: NDArray[np.uint8], matrix: F64, bend: F64, box: Window) -> F32: ...
def shift(design: F32, value: F32, rounds: int) -> tuple[F64, F64, float] | None: ...
def mutual_nearest(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int32]: ...
