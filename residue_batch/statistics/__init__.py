"""Numbers of many boards: what a lot did, and whether it met its limits."""

from residue_batch.statistics.lot import ALL_TYPES, Verdict, judge, lot_summary, verdict_of

__all__ = ["ALL_TYPES", "Verdict", "judge", "lot_summary", "verdict_of"]
