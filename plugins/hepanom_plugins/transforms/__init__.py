"""The transforms that hepanom ships, one idea per file."""
