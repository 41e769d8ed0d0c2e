"""PyTorch's side for first values: its own functions, whose random numbers come from NyangTorch's generator."""

from contextlib import contextmanager

import torch
from scipy.stats import truncnorm  # noqa: F401, expressions use it
from torch import nn  # noqa: F401
from torch.nn import init as I  # noqa: F401

SHAPE = (6, 5, 3, 2)


@contextmanager
def injected(given):
    """`uniform_` and `normal_` take the next of the given numbers."""
    originals, taken = (torch.Tensor.uniform_, torch.Tensor.normal_), {"uniform": 0, "normal": 0}

    def next_like(tensor, name):
        start = taken[name]
        taken[name] += tensor.numel()
        return given[name][start : taken[name]].reshape(tensor.shape)

    def uniform_(self, low=0.0, high=1.0, generator=None):
        return self.copy_(low + (high - low) * next_like(self, "uniform"))

    def normal_(self, mean=0.0, std=1.0, generator=None):
        return self.copy_(mean + std * next_like(self, "normal"))

    torch.Tensor.uniform_, torch.Tensor.normal_ = uniform_, normal_
    try:
        with torch.no_grad():
            yield
    finally:
        torch.Tensor.uniform_, torch.Tensor.normal_ = originals


def weights(expression, given):
    w = torch.empty(SHAPE)
    with injected(given):
        eval(expression, globals() | {"w": w, "truncated": given["truncated"].reshape(SHAPE)})
    return {"w": w}


def first_values(expression, given):
    with injected(given):
        layer = eval(expression)
    return {f"state.{name}": value for name, value in layer.state_dict().items()}
