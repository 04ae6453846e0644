from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Window: TypeAlias = tuple[int, int, int, int]
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
U16: TypeAlias = NDArray[np.uint16]
Mask: TypeAlias = NDArray[np.bool_]

MOST_RADIUS: int

def sample(shot: NDArray[np.uint8] | U16, table: U16, matrix: F64, bend: F64, box: Window) -> U16: ...
def blurred(planes: U16, weights: F32, window: Window, every: int = 1) -> U16: ...
def blurred_and_scaled(planes: U16, weights: F32, factor: F32, apart: int, past: int, gain: F32) -> F32: ...
def scaled(planes: U16, factor: float) -> F32: ...
def undifferenced(differences: NDArray[np.uint8] | U16, out: NDArray[np.uint8] | U16) -> None: ...
def unmix(image: F32, reference: F32, white: F32, alike: float, limit: float) -> F32: ...
def contrast(reference: F32, white: F32, least: float) -> Mask: ...
def opacity_sums(
    opacity: F32, where: NDArray[np.uint8], saturated: NDArray[np.uint8], one: float, ceiling: float
) -> tuple[NDArray[np.int64], int]: ...
def negative_sums(
    opacity: F32, where: NDArray[np.uint8], one: float, ceiling: float
) -> tuple[NDArray[np.int64], int]: ...
def counts_above(plane: F32, where: NDArray[np.uint8], levels: F32) -> NDArray[np.int64]: ...
def evidence(
    bits: NDArray[np.uint32],
    block: NDArray[np.int32],
    x: F64,
    y: F64,
    board: F32,
    white: F64,
    loads: NDArray[np.int32],
    planes: F32,
    tau: F32,
    within: F32,
    regions: int,
    blocks: int,
    one: float,
    fine: float,
    metal: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]: ...
