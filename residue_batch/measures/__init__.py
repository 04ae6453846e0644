"""The shipped measures, one family per module; importing this package registers them."""

from residue_batch.measures import area, intensity, load

__all__ = ["area", "intensity", "load"]
