"""The shipped steps, one family per module; importing this package registers them."""

from residue_batch.steps import background, colour, filters, glare, masks, morphology, moved, threshold, unmix

__all__ = ["background", "colour", "filters", "glare", "masks", "morphology", "moved", "threshold", "unmix"]
