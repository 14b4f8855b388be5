"""What packages import from here in PyTorch."""

from __future__ import annotations

from typing import Any

from ._summaries import hyperparameters

__all__ = ["hparams"]


def hparams(hparam_dict: Any = None, metric_dict: Any = None, hparam_domain_discrete: Any = None) -> tuple[Any, ...]:
    """Three summaries for the HParams plugin: the experiment, the start and the end of a session.

    Raises:
        ValueError: a value is neither a number, a string, a bool nor a tensor of one element.
    """
    return tuple(hyperparameters(hparam_dict or {}, metric_dict or {}, hparam_domain_discrete or {}))
