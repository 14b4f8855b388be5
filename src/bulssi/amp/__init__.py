"""Mixed precision: operations in bfloat16 or float16 where that is safe, and scaled losses for float16.

On the CPU nothing becomes faster by it (half precision is computed in float32, block by block); memory is saved, and
results are rounded as PyTorch's are.
"""

from __future__ import annotations

from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
