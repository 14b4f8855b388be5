"""Tests that run over the registry of operations: a new operation is tested by being declared."""

from . import recipes as recipes
from . import recipes_linalg as recipes_linalg
