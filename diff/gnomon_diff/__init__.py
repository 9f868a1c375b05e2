"""Diff: what the pair log says about a candidate, and the verdict on it."""

from gnomon_diff.compare import compare
from gnomon_diff.judge import judge
from gnomon_diff.labels import load_labels
from gnomon_diff.reading import open_log
from gnomon_diff.sqlgate import query
from gnomon_diff.views import schema_text

__all__ = ["compare", "judge", "load_labels", "open_log", "query", "schema_text"]
