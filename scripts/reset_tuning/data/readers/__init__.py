"""Raw records to candidates: one reader per published format, found by name or by content."""

from reset_tuning.data.readers.registry import FORMATS, read_candidates

__all__ = ["FORMATS", "read_candidates"]
