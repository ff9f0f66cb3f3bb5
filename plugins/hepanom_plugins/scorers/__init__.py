"""The scorers that hepanom ships, one idea per file."""
