"""The options that there are by default."""

from .planner import DefaultLoadPlanner as DefaultLoadPlanner
from .planner import DefaultSavePlanner as DefaultSavePlanner

__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner"]
