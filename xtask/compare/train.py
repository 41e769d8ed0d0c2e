"""PyTorch's side of `cargo xtask compare train`: reads lines `VARIANT MOST FOLDER`: VARIANT is f64, f32, channels_last or one_thread,
MOST how many steps are trained, without a test, or `all`.

FOLDER has plan.json, what to train and how; given.safetensors, images, labels and the order of the samples in each epoch; first.safetensors, the
weights to begin with. Prints one line of JSON for each: the loss of each step, the seconds of each epoch, how many test images are right, the peak memory.
"""

import json
import pathlib
import resource
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class PadShortcut(nn.Module):
    """Every stride-th pixel, and channels of zeros in front and behind: He et al.'s option A."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.stride, self.before, self.behind = stride, (out - channels) // 2, out - channels - (out - channels) // 2

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.behind))


class Block(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = PadShortcut(channels, out, stride) if stride != 1 else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def pairs(*sizes):
    """Linear layers with ReLU between."""
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]


def network(name, image, classes):
    channels, height, width = image
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), *pairs(channels * height * width, 512, 256, classes))
    if name == "lenet":
        flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        features = [nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*features, nn.Flatten(), *pairs(flat, 120, 84, classes))
    if name == "deepconvnet":
        layers = []
        for out, paddings in [(16, [1, 1]), (32, [1, 2]), (64, [1, 1])]:
            for padding in paddings:
                layers += [nn.Conv2d(channels, out, 3, padding=padding), nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool2d(2))
        with torch.no_grad():
            flat = nn.Sequential(*layers, nn.Flatten())(torch.zeros(1, *image)).shape[1]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 50), nn.ReLU(), nn.Dropout(0), nn.Linear(50, classes), nn.Dropout(0))
    if name == "resnet20":
        layers = [nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        channels = 16
        for out, first in [(16, 1), (32, 2), (64, 2)]:
            for stride in [first, 1, 1]:
                layers.append(Block(channels, out, stride))
                channels = out
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    raise ValueError(name)


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder, variant, most):
    plan = json.loads((folder / "plan.json").read_text())
    torch.set_num_threads(1 if variant == "one_thread" else plan["threads"])
    dtype = torch.float64 if variant == "f64" else torch.float32
    memory = torch.channels_last if variant == "channels_last" else torch.contiguous_format
    given = load_file(folder / "given.safetensors")
    train_x, test_x = given["train_x"].to(dtype), given["test_x"].to(dtype)
    train_y, test_y = given["train_y"].long(), given["test_y"].long()
    model = network(plan["model"], plan["image"], plan["classes"]).to(dtype)
    model.load_state_dict({name: t.to(dtype) if t.is_floating_point() else t for name, t in load_file(folder / "first.safetensors").items()})
    model = model.to(memory_format=memory).train()
    if plan["optimizer"] == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=plan["lr"])
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=plan["lr"], momentum=plan["momentum"], weight_decay=plan["weight_decay"])
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, plan["every"], plan["gamma"])

    losses, seconds = [], []
    for order in given["order"].long():
        began = time.perf_counter()
        for chosen in order.split(plan["batch"])[: most - len(losses)]:
            x = train_x[chosen].contiguous(memory_format=memory)
            loss = F.cross_entropy(model(x), train_y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
        schedule.step()
    if len(losses) >= most:
        print(json.dumps({"losses": losses, "peak_mb": peak_mb()}), flush=True)
        return
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x.contiguous(memory_format=memory)).argmax(1) == y).sum()) for x, y in zip(test_x.split(256), test_y.split(256)))
    print(json.dumps({"losses": losses, "seconds": seconds, "right": right, "tests": len(test_y), "peak_mb": peak_mb(), "version": torch.__version__}), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        variant, most, folder = line.rstrip("\n").split(" ", 2)
        main(pathlib.Path(folder), variant, sys.maxsize if most == "all" else int(most))
