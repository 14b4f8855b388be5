"""Optimizers, learning-rate schedules and averages of models, under PyTorch's names."""

from __future__ import annotations

from bulssi.optim import lr_scheduler, optimizer
from bulssi.optim._adafactor import Adafactor
from bulssi.optim._muon import Muon
from bulssi.optim.adadelta import Adadelta
from bulssi.optim.adagrad import Adagrad
from bulssi.optim.adam import Adam
from bulssi.optim.adamax import Adamax
from bulssi.optim.adamw import AdamW
from bulssi.optim.asgd import ASGD
from bulssi.optim.lbfgs import LBFGS
from bulssi.optim.nadam import NAdam
from bulssi.optim.optimizer import Optimizer
from bulssi.optim.radam import RAdam
from bulssi.optim.rmsprop import RMSprop
from bulssi.optim.rprop import Rprop
from bulssi.optim.sgd import SGD
from bulssi.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
    "lr_scheduler",
    "optimizer",
    "swa_utils",
]


def __getattr__(name: str) -> object:
    if name == "swa_utils":  # needs bulssi.nn, which this package does not
        from importlib import import_module

        return import_module("bulssi.optim.swa_utils")
    raise AttributeError(f"module 'bulssi.optim' has no attribute '{name}'")
