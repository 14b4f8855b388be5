"""Tools beside the library proper: data loading, checkpointing, hooks."""
