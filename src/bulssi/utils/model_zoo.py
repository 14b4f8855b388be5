"""The former place of downloads of models; see :mod:`hub`."""

from typing import Any

from bulssi import hub
from bulssi.hub import load_state_dict_from_url
from bulssi.hub import load_state_dict_from_url as load_url

__all__ = ["load_state_dict_from_url", "load_url"]


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        return hub.tqdm
    raise AttributeError(f"module 'torch.utils.model_zoo' has no attribute {name!r}")
