"""Showing a comparison and its verdict: the page, the terminal summary, the report on disk."""

from gnomon_reports.folder import write
from gnomon_reports.page import render
from gnomon_reports.summary import summary_text

__all__ = ["render", "summary_text", "write"]
