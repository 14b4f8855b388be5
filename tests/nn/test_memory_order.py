"""Layers give what PyTorch's give also in the order of memory: channels last stay last."""

from __future__ import annotations

import pytest

import bulssi

torch = pytest.importorskip("torch")

LAYERS = {
    "conv2d": lambda nn: nn.Conv2d(3, 5, 3),
    "conv_transpose2d": lambda nn: nn.ConvTranspose2d(3, 5, 3),
    "max_pool2d": lambda nn: nn.MaxPool2d(2),
    "avg_pool2d": lambda nn: nn.AvgPool2d(2),
    "adaptive_avg_pool2d": lambda nn: nn.AdaptiveAvgPool2d(3),
    "adaptive_avg_pool2d_even": lambda nn: nn.AdaptiveAvgPool2d(4),
    "adaptive_max_pool2d": lambda nn: nn.AdaptiveMaxPool2d(3),
    "lp_pool2d": lambda nn: nn.LPPool2d(2, 2),
    "batch_norm": lambda nn: nn.BatchNorm2d(3),
    "group_norm": lambda nn: nn.GroupNorm(3, 3),
    "instance_norm": lambda nn: nn.InstanceNorm2d(3),
    "relu": lambda nn: nn.ReLU(),
    "zero_pad": lambda nn: nn.ZeroPad2d(1),
    "reflection_pad": lambda nn: nn.ReflectionPad2d(1),
    "replication_pad": lambda nn: nn.ReplicationPad2d(1),
    "upsample": lambda nn: nn.Upsample(scale_factor=2),
    "conv3d": lambda nn: nn.Conv3d(3, 5, 2),
    "max_pool3d": lambda nn: nn.MaxPool3d(2),
    "avg_pool3d": lambda nn: nn.AvgPool3d(2),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("what", ["input", "both", "weight", "neither"])
def test_channels_last(name, what):
    found = []
    for lib in (bulssi, torch):
        order = lib.channels_last_3d if "3d" in name else lib.channels_last
        lib.manual_seed(0)
        layer = LAYERS[name](lib.nn)
        x = lib.linspace(-1, 1, 2 * 3 * 8 * 8 * (8 if "3d" in name else 1))
        x = x.reshape(2, 3, *(8,) * (3 if "3d" in name else 2))
        if what in ("input", "both"):
            x = x.contiguous(memory_format=order)
        if what in ("weight", "both"):
            layer.to(memory_format=order)
        x.requires_grad_()
        y = layer(x)
        (y * lib.arange(float(y.numel())).reshape(y.shape).cos()).sum().backward()
        tensors = [y, x.grad, *(p.grad for p in layer.parameters())]
        found.append([(tuple(t.shape), t.stride(), t.detach().reshape(-1).tolist()) for t in tensors])
    for ours, theirs in zip(*found, strict=True):
        assert ours[:2] == theirs[:2]
        assert ours[2] == pytest.approx(theirs[2], rel=1e-4, abs=1e-4)


def test_a_gradient_is_laid_out_like_its_leaf():
    x = bulssi.ones(2, 3, 4).transpose(0, 2).requires_grad_()
    (x * bulssi.ones(4, 3, 2)).sum().backward()
    assert x.grad.stride() == x.stride()
