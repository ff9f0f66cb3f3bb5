"""The models that hepanom ships, one idea per file."""
