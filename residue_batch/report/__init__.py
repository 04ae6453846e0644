"""The report of a run: one HTML file that works offline."""

from residue_batch.report.page import PICTURES, ReportData, render, worst_boards

__all__ = ["PICTURES", "ReportData", "render", "worst_boards"]
