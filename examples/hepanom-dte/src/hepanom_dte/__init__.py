"""Diffusion-time estimation: a model, and the score that reads it."""
