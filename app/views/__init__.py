"""Pages, one question each."""
