"""The readers that hepanom ships, one idea per file."""
