"""The shipped measures, one family per module; importing this package registers them."""

from residue_batch.measures import area, change, cover, covered, density, intensity, load

__all__ = ["area", "change", "cover", "covered", "density", "intensity", "load"]
