"""Bulssi runs PyTorch programs: tensors, automatic differentiation and neural networks under PyTorch's names."""

# ruff: noqa: F401 (names are imported here to be found here)

from __future__ import annotations

import math as _math
import sys as _sys
from typing import Any

from . import _core, _tensor_methods, autograd
from ._core import *  # noqa: F403
from ._core import Size, Tensor, device, dtype
from ._tensor_methods import DisableTorchFunctionSubclass
from .autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__version__ = "0.1.0"
_core._install_source_hooks()
_tensor_methods.install(Tensor)

e, inf, nan, pi, newaxis = _math.e, _math.inf, _math.nan, _math.pi, None

# Loaded on first use, to keep `import bulssi` short: module -> names that it gives here; a "." stands for itself.
_MODULES = {
    "_C": ".",
    "_arrays": "as_tensor asarray from_dlpack from_file from_numpy frombuffer",
    "_checks": (
        "_assert_async _check _check_index _check_is_size _check_not_implemented _check_tensor_all _check_type "
        "_check_value _check_with"
    ),
    "_dtypes": "finfo iinfo",
    "_functions": (
        "batch_norm constant_pad_nd detach detach_ detach_copy instance_norm is_distributed is_nonzero is_signed "
        "unsafe_chunk unsafe_split unsafe_split_with_sizes zero_"
    ),
    "_lowrank": "pca_lowrank svd_lowrank",
    "_printing": "get_printoptions set_printoptions",
    "_settings": (
        "_assert are_deterministic_algorithms_enabled compiled_with_cxx11_abi "
        "get_default_device get_deterministic_debug_mode "
        "get_device get_float32_matmul_precision get_num_interop_threads is_complex is_deterministic_algorithms_warn_"
        "only_enabled is_floating_point is_inference is_same_size is_storage is_tensor is_warn_always_enabled numel "
        "set_default_device set_default_dtype set_default_tensor_type set_deterministic_debug_mode "
        "set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_num_threads set_warn_always "
        "typename use_deterministic_algorithms"
    ),
    "_summary": "summary",
    "_utils": ".",
    "_windows": "bartlett_window blackman_window hamming_window hann_window kaiser_window",
    "accelerator": ".",
    "amp": ". autocast",
    "ao": ".",
    "amp.autocast_mode": (
        "autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache get_autocast_cpu_dtype "
        "get_autocast_dtype get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled "
        "is_autocast_enabled set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled "
        "set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype"
    ),
    "amp.grad_scaler": "GradScaler",
    "_dynamo": ". compile",
    "backends": ".",
    "compiler": ".",
    "cpu": ".",
    "cuda": ". AcceleratorError OutOfMemoryError",
    "datasets": ".",
    "distributed": ".",
    "distributions": ".",
    "fft": ".",
    "func": ". vmap",
    "functional": ". broadcast_shapes chain_matmul einsum gradient histogramdd lu tensordot unravel_index",
    "futures": ".",
    "fx": ".",
    "hub": ".",
    "jit": ".",
    "library": ".",
    "linalg": ".",
    "mps": ".",
    "mtia": ".",
    "multiprocessing": ".",
    "nn": ".",
    "ops": ".",
    "onnx": ".",
    "optim": ".",
    "overrides": ".",
    "profiler": ".",
    "random": ". fork_rng get_rng_state initial_seed manual_seed seed set_rng_state",
    "safetensors": ".",
    "serialization": ". load save",
    "special": ".",
    "storage": ". TypedStorage UntypedStorage",
    "testing": ".",
    "types": ".",
    "utils": ".",
    "version": ".",
    "xpu": ".",
    # Functions that PyTorch has both here and in nn.functional, with the same arguments.
    "nn.functional": (
        "adaptive_avg_pool1d avg_pool1d bilinear channel_shuffle conv1d conv2d conv3d conv_transpose1d "
        "conv_transpose2d conv_transpose3d cosine_similarity group_norm layer_norm max_pool1d max_pool2d max_pool3d "
        "pairwise_distance pdist pixel_shuffle pixel_unshuffle rms_norm"
    ),
}
_LAZY = {module if name == "." else name: module for module, names in _MODULES.items() for name in names.split()}
for _name in _LAZY:  # the core has namespaces and functions under some of these names, for these modules to use
    globals().pop(_name, None)

_ABSENT = {
    "sparse": "tensors are strided (dense)",
    "quantize_per_channel": "there are no quantised tensors",
    "quantize_per_tensor": "there are no quantised tensors",
    **dict.fromkeys(
        (
            "sparse_bsr_tensor",
            "sparse_compressed_tensor",
            "sparse_coo_tensor",
            "sparse_csc_tensor",
            "sparse_csr_tensor",
        ),
        "tensors are strided (dense)",
    ),
    **dict.fromkeys(
        ("complex", "istft", "polar", "stft", "view_as_complex"),
        "complex tensors are not supported yet: keep real and imaginary parts in tensors of their own",
    ),
    "eig": "it was removed from PyTorch; for symmetric matrices use linalg.eigh",
    "lstsq": "it was removed from PyTorch: use linalg.lstsq",
    "matrix_rank": "it was removed from PyTorch: use linalg.matrix_rank",
    "solve": "it was removed from PyTorch: use linalg.solve, which takes the matrix first",
    "symeig": "it was removed from PyTorch: use linalg.eigh",
}


torch = _sys.modules[__name__]  # `torch.torch` is torch


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _LAZY.get(name)
    if home is not None:
        module = import_module(f"bulssi.{home}")
        found = module if home == name else getattr(module, name)
    elif name.startswith("_foreach_"):
        found = getattr(import_module("bulssi._foreach"), name)
    elif name.startswith("_") and hasattr(_core, name):
        found = getattr(_core, name)
    elif name.endswith("Tensor"):
        from bulssi._dtypes import typed_tensor

        found = typed_tensor(name)
    else:
        why = f": {_ABSENT[name]}" if name in _ABSENT else ""
        raise AttributeError(f"module 'torch' has no attribute {name!r}{why}", name=name, obj=_sys.modules[__name__])
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY} - {"Any", "annotations"})  # noqa: F405
