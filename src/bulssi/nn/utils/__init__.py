"""Utilities for parameters, gradients and sequences."""

from . import rnn as rnn
