"""Rows for training: modules, optimizers and data loading."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .row import Library, Setup, Statement, row

FLOAT = 4  # bytes of a float32
model_row = partial(row, table="models")


def training_step(lib: Library, model: Any, optimizer: Any, loss: Callable[[], Any]) -> Statement:
    """Forward, backward and step as a program writes them; the loss is the result."""

    def statement() -> Any:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value

    return statement


def layer_flops(batch: int, *widths: int) -> int:
    """Multiply-adds, counted as two, of a multi-layer perceptron's forward and backward (no gradient of the input)."""
    pairs = list(zip(widths, widths[1:], strict=False))
    forward = sum(2 * batch * inputs * outputs for inputs, outputs in pairs)
    return 3 * forward - 2 * batch * widths[0] * widths[1]


@model_row("step of two layers by hand, 32 x 1000 -> 100 -> 2", flops=layer_flops(32, 1000, 100, 2))
def _(lib: Library) -> Statement:
    x, y = lib.randn(32, 1000), lib.randn(32, 2)
    w1, w2 = lib.randn(1000, 100, requires_grad=True), lib.randn(100, 2, requires_grad=True)

    def statement() -> Any:
        loss = (lib.relu(x.mm(w1)).mm(w2) - y).pow(2).sum()
        loss.backward()
        with lib.no_grad():
            for w in (w1, w2):
                w -= 1e-6 * w.grad
                w.grad.zero_()
        return loss

    return statement


def perceptron(lib: Library, *widths: int) -> Any:
    layers: list[Any] = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        layers += [lib.nn.Linear(inputs, outputs), lib.nn.ReLU()]
    return lib.nn.Sequential(*layers[:-1])


@model_row("MLP 4-64-64-2, batch 32, Adam", flops=layer_flops(32, 4, 64, 64, 2))
def _(lib: Library) -> Statement:
    model = perceptron(lib, 4, 64, 64, 2)
    x, y = lib.randn(32, 4), lib.randn(32, 2)
    loss = lib.nn.MSELoss()
    return training_step(lib, model, lib.optim.Adam(model.parameters()), lambda: loss(model(x), y))


@model_row("MLP 784-512-256-10, batch 64, Adam, cross entropy", flops=layer_flops(64, 784, 512, 256, 10))
def _(lib: Library) -> Statement:
    model = perceptron(lib, 784, 512, 256, 10)
    x, y = lib.randn(64, 784), lib.randint(10, (64,))
    loss = lib.nn.CrossEntropyLoss()
    return training_step(lib, model, lib.optim.Adam(model.parameters()), lambda: loss(model(x), y))


# Two convolutions of 3 x 3 on 28 x 28 and 14 x 14 pixels and a linear layer; the first needs no gradient of its input.
CNN_FLOPS = 2 * 64 * (2 * 16 * 9 * 28 * 28 + 3 * 32 * 16 * 9 * 14 * 14 + 3 * 32 * 7 * 7 * 10)


@model_row("CNN on 64 x 1 x 28 x 28, SGD", flops=CNN_FLOPS)
def _(lib: Library) -> Statement:
    nn = lib.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
    )
    x, y = lib.randn(64, 1, 28, 28), lib.randint(10, (64,))
    loss, optimizer = nn.CrossEntropyLoss(), lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(lib, model, optimizer, lambda: loss(model(x), y))


IMAGES = (32, 32, 28, 28)


# Forward reads x twice and writes y; backward reads both gradients' inputs twice and writes one.
@model_row("batch_norm on 32 x 32 x 28 x 28, forward + backward", bytes=8 * FLOAT * math.prod(IMAGES))
def _(lib: Library) -> Statement:
    layer = lib.nn.BatchNorm2d(IMAGES[1])
    x, g = lib.randn(*IMAGES, requires_grad=True), lib.randn(*IMAGES)
    return lambda: lib.autograd.grad(layer(x), [x, *layer.parameters()], g)


@model_row("LSTM, 32 steps, batch 32, hidden 128, Adam", flops=3 * 2 * 32 * 32 * 4 * 128 * (128 + 128))
def _(lib: Library) -> Statement:
    model = lib.nn.LSTM(128, 128)
    x = lib.randn(32, 32, 128)
    return training_step(lib, model, lib.optim.Adam(model.parameters()), lambda: model(x)[0].pow(2).mean())


LAYERS, WIDTH, HEADS, TOKENS, BATCH, WORDS = 4, 128, 4, 64, 12, 96
# 12 width^2 weights per layer, the attention's two products, and the output layer, for every token of the batch.
GPT_FLOPS = 3 * 2 * BATCH * TOKENS * (LAYERS * (12 * WIDTH**2 + 2 * TOKENS * WIDTH) + WIDTH * WORDS)


def gpt(lib: Library) -> Any:
    """A decoder-only transformer with learned positions, written with plain modules as small programs write it."""
    nn, functional = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

        def forward(self, x: Any) -> Any:
            heads = (x.shape[0], x.shape[1], HEADS, WIDTH // HEADS)
            q, k, v = (part.view(heads).transpose(1, 2) for part in self.attention(self.norm1(x)).split(WIDTH, dim=2))
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(attended.transpose(1, 2).reshape(x.shape))
            return x + self.mlp(self.norm2(x))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(TOKENS, WIDTH)
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS)

        def forward(self, tokens: Any) -> Any:
            x = self.words(tokens) + self.places(lib.arange(TOKENS))
            return self.head(self.norm(self.blocks(x)))

    return Model()


@model_row("GPT, 4 layers, width 128, 4 heads, 64 tokens, batch 12, AdamW", flops=GPT_FLOPS)
def _(lib: Library) -> Statement:
    model = gpt(lib)
    tokens = lib.randint(WORDS, (BATCH, TOKENS + 1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:].reshape(-1)

    def loss() -> Any:
        return lib.nn.functional.cross_entropy(model(inputs).view(-1, WORDS), targets)

    return training_step(lib, model, lib.optim.AdamW(model.parameters(), lr=3e-4), loss)


PARAMETERS = [(1000, 1000)] * 9 + [(1000, 500)] * 2 + [(1000,)] * 11  # about 10 million, most of them in matrices


# Reads the parameter, its gradient and both moments; writes the parameter and both moments.
@model_row("Adam step, 10M parameters", bytes=7 * FLOAT * sum(math.prod(shape) for shape in PARAMETERS))
def _(lib: Library) -> Statement:
    parameters = [lib.nn.Parameter(lib.randn(*shape)) for shape in PARAMETERS]
    for parameter in parameters:
        parameter.grad = lib.randn(*parameter.shape)
    optimizer = lib.optim.Adam(parameters)

    def statement() -> Any:
        optimizer.step()
        return parameters[0].detach()

    return statement


ROWS_OF_LOGITS, CLASSES = 4096, 32000


# Forward reads the logits; backward reads them again and writes their gradient.
@model_row("cross entropy (4096, 32000), forward + backward", bytes=3 * FLOAT * ROWS_OF_LOGITS * CLASSES)
def _(lib: Library) -> Statement:
    logits = lib.randn(ROWS_OF_LOGITS, CLASSES, requires_grad=True)
    targets = lib.randint(CLASSES, (ROWS_OF_LOGITS,))

    def statement() -> Any:
        logits.grad = None
        loss = lib.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        return loss

    return statement


SAMPLES, PIXELS = 60_000, 784


def epoch(workers: int) -> Setup:
    def setup(lib: Library) -> Statement:
        data = lib.utils.data
        dataset = data.TensorDataset(lib.rand(SAMPLES, PIXELS), lib.randint(10, (SAMPLES,)))
        loader = data.DataLoader(dataset, batch_size=64, shuffle=True, num_workers=workers)

        def statement() -> int:
            return sum(len(labels) for _, labels in loader)

        return statement

    return setup


EPOCH_BYTES = 2 * FLOAT * SAMPLES * PIXELS
model_row("DataLoader epoch, 60,000 x 784, shuffled, batch 64", bytes=EPOCH_BYTES, scale=SAMPLES)(epoch(0))
model_row("DataLoader epoch, 60,000 x 784, two workers", bytes=EPOCH_BYTES, scale=SAMPLES)(epoch(2))


DEMO = Path("cli", "demo.py")


@model_row("one epoch of `bulssi demo`")
def _(lib: Library) -> Statement:
    import bulssi

    # The program itself, its text with the other library's name: what `bulssi run` does the other way round.
    text = Path(bulssi.__file__).parent.joinpath(DEMO).read_text(encoding="utf-8")
    program: dict[str, Any] = {"__name__": f"demo_with_{lib.__name__}"}
    exec(compile(text.replace("bulssi", lib.__name__), str(DEMO), "exec"), program)
    images, labels = (lib.from_numpy(part.numpy()) for part in bulssi.datasets.digits())
    data = lib.utils.data.TensorDataset(images.unsqueeze(1).float() / 16, labels)
    parts = lib.utils.data.random_split(data, [len(data) - 360, 360])
    model = program["make_model"]()
    return lambda: program["train"](model, *parts, epochs=1, show=lambda *_: None)[0].train_loss
