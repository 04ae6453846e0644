"""What the world is and what to do with it, in YAML: strict reading, frozen models.

Nothing here reads a photograph; no dask, zarr or xarray is imported.
"""

from residue_batch.config.board_type import BoardType, Detection, Gates
from residue_batch.config.cluster import Cluster
from residue_batch.config.document import Document
from residue_batch.config.dump import to_yaml
from residue_batch.config.load import (
    Found,
    find,
    json_schema,
    known_names,
    load_board_type,
    load_cluster,
    load_lot,
    load_workflow,
)
from residue_batch.config.lot import BoardShots, Finding, Lot, Scan, ShotProblem
from residue_batch.config.model import canonical
from residue_batch.config.scanning import scan
from residue_batch.config.template import new_board
from residue_batch.config.workflow import Limit, MeasureSpec, PlaneSpec, Workflow

__all__ = [
    "BoardShots",
    "BoardType",
    "Cluster",
    "Detection",
    "Document",
    "Finding",
    "Found",
    "Gates",
    "Limit",
    "Lot",
    "MeasureSpec",
    "PlaneSpec",
    "Scan",
    "ShotProblem",
    "Workflow",
    "canonical",
    "find",
    "json_schema",
    "known_names",
    "load_board_type",
    "load_cluster",
    "load_lot",
    "load_workflow",
    "new_board",
    "scan",
    "to_yaml",
]
