"""Modules whose intermediate results are computed again for backward."""
