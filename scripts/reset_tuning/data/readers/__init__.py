"""Raw records to candidates: one reader per published format, found by name or by content."""

from reset_tuning.data.readers.registry import FORMATS, check_formats, read_candidates

__all__ = ["FORMATS", "check_formats", "read_candidates"]
