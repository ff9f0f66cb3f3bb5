"""A my_kind for hepanom."""
