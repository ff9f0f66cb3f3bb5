"""The readers, transforms, models and scorers that hepanom ships; ``hooks`` offers them."""
