"""PyTorch's side for layers and losses: outputs, gradients, states."""

from collections import OrderedDict  # noqa: F401, expressions use it

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class Lambda(nn.Module):
    """Any function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Padded(nn.Module):
    """Zeros around the image (left, right, top, bottom), then a module whose state has no prefix."""

    def __new__(cls, padding, module):
        module.register_forward_pre_hook(lambda _, inputs: (F.pad(inputs[0], padding),))
        return module


class Residual(nn.Sequential):
    """Named modules one after another, and the input added."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return x + super().forward(x)


class Branches(nn.Module):
    """Named modules side by side, their outputs joined: torch.cat along the channels, or sum."""

    def __init__(self, join, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.join = join

    def forward(self, x):
        outputs = [module(x) for module in self.children()]
        return sum(outputs) if self.join is sum else self.join(outputs, 1)


class OriginalDropout(nn.Module):
    """Srivastava's: nothing is scaled in training, everything by 1 - p in evaluation."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        return F.dropout(x, 0.0) if self.training else x * (1 - self.p)


class StochasticDepth(nn.Module):
    """torchvision's, which drops whole samples; looked up when it runs, so that a mask can stand in for it."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        return torchvision.ops.stochastic_depth(x, self.p, "row", self.training)


class BasicBlock(nn.Module):
    """He et al.'s block, with a learnt shortcut (conv), one that pads channels (pad), or none."""

    def __init__(self, channels, out, stride=1, shortcut=None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        if shortcut == "conv":
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut, self.stride, self.half = shortcut, stride, (out - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.shortcut == "conv":
            x = self.downsample(x)
        elif self.shortcut == "pad":
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.half, self.half))
        return F.relu(x + y)


def masked(mask):
    """Stands in for dropout: NyangTorch's own mask, once its values are seen to be what they should."""

    def drop(x, p=0.5, *_, **__):
        kept = torch.tensor(1 / (1 - p) if p < 1 else 0.0)
        if not torch.all((mask == 0) | torch.isclose(mask, kept, rtol=1e-15)):
            raise ValueError(f"the mask has values other than 0 and {kept}")
        return x * mask

    return drop


def layer(expression, mode, given):
    module = eval(expression)
    state = {name[len("state."):]: value for name, value in given.items() if name.startswith("state.")}
    if isinstance(module, nn.Module):
        module.load_state_dict(state)
        module.train(mode == "train")
    x = given["x"].requires_grad_()
    originals = F.dropout, F.dropout2d, torchvision.ops.stochastic_depth
    if mode == "train" and "mask" in given:
        F.dropout = F.dropout2d = torchvision.ops.stochastic_depth = masked(given["mask"])
    y = module(x)
    F.dropout, F.dropout2d, torchvision.ops.stochastic_depth = originals
    y.backward(given["dy"])
    answer = {"y": y, "dx": x.grad if x.grad is not None else torch.zeros_like(x)}
    answer |= {f"grad.{name}": parameter.grad for name, parameter in module.named_parameters()}
    answer |= {f"state.{name}": value for name, value in module.state_dict().items()}
    return answer


def layer_train(expression, given):
    return layer(expression, "train", given)


def layer_eval(expression, given):
    return layer(expression, "eval", given)


def loss(expression, given):
    z, t = given["z"].requires_grad_(), given["t"]
    value = eval(expression, globals() | {"z": z, "t": t})
    value.backward()
    return {"value": value, "dz": z.grad}
