"""Writes crates/nyang-nn/tests/goldens/zoo.txt: the zoo's models as PyTorch and torchvision build them.

For each model and form: the names and shapes of the whole state dict, and the logits of one image when state and image are filled by a formula
that the Rust test knows too. Run it with PyTorch and torchvision installed:  python xtask/goldens/zoo.py
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

OUT = Path(__file__).resolve().parents[2] / "crates/nyang-nn/tests/goldens/zoo.txt"


def flat(features, image):
    with torch.no_grad():
        return nn.Sequential(*features).eval()(torch.zeros(1, *image)).numel()


def mlp(image, classes):
    pixels = math.prod(image)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, classes))


def lenet(image, classes):
    features = [
        nn.Conv2d(image[0], 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(
        *features, nn.Linear(flat(features, image), 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes))


def simpleconvnet(image, classes):
    features = [nn.Conv2d(image[0], 30, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*features, nn.Linear(flat(features, image), 100), nn.ReLU(), nn.Linear(100, classes))


def deepconvnet(image, classes):
    features, channels = [], image[0]
    for out, paddings in ((16, (1, 1)), (32, (1, 2)), (64, (1, 1))):
        for padding in paddings:
            features += [nn.Conv2d(channels, out, 3, padding=padding), nn.ReLU()]
            channels = out
        features.append(nn.MaxPool2d(2))
    features.append(nn.Flatten())
    return nn.Sequential(
        *features, nn.Linear(flat(features, image), 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, classes), nn.Dropout(0.5))


def vgg11_bn(image, classes):
    features = models.vgg11_bn().features
    if image[0] != 3:
        features[0] = nn.Conv2d(image[0], 64, 3, padding=1)
    return nn.Sequential(features, nn.Flatten(), nn.Linear(flat([features], image), classes))


class Block(nn.Module):
    """A residual block whose shortcut has no parameters: He et al.'s option A."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.half = stride, (out - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.half, self.half))
        return F.relu(y + x)


def cifar_resnet(blocks):
    def build(image, classes):
        layers, channels = [nn.Conv2d(image[0], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
        for out, stride in ((16, 1), (32, 2), (64, 2)):
            for block in range(blocks):
                layers.append(Block(channels, out, stride if block == 0 else 1))
                channels = out
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    return build


def torchvision_resnet(name, imagenet):
    def build(image, classes):
        model = getattr(models, name)(num_classes=classes)
        if imagenet:
            model.conv1 = nn.Conv2d(image[0], 64, 7, 2, 3, bias=False)
        else:
            model.conv1 = nn.Conv2d(image[0], 64, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return model
    return build


def mobilenet_v2(stride):
    def build(image, classes):
        model = models.mobilenet_v2(num_classes=classes)
        model.features[0][0] = nn.Conv2d(image[0], 32, 3, stride, 1, bias=False)
        return model
    return build


def numbers(count, key):
    """Numbers in [-0.5, 0.5) that look random, from whole numbers alone: any two machines agree on each bit."""
    h = (torch.arange(count, dtype=torch.int64) * 1103515245 + (key + 1) * 12820163) % 2**32
    h = (h ^ (h >> 15)) * 1540483477 % 2**32
    h = (h ^ (h >> 13)) * 1103515245 % 2**32
    return (h ^ (h >> 16)).double() / 2**32 - 0.5


def fill(model):
    """Gives every tensor of the state, in the order of their names, values by a formula; those of weights as large as He's."""
    state = model.state_dict()
    for key, name in enumerate(sorted(state)):
        tensor = state[name]
        x = numbers(tensor.numel(), key).reshape(tensor.shape)
        if name.endswith("num_batches_tracked"):
            continue
        if tensor.dim() > 1:
            fan_in = tensor[0].numel()
            tensor.copy_(x * math.sqrt(24 / fan_in))
        elif name.endswith(("weight", "running_var")):
            tensor.copy_(1 + x)
        else:
            tensor.copy_(x)


SMALL = {
    "mlp": mlp, "lenet": lenet, "simpleconvnet": simpleconvnet, "deepconvnet": deepconvnet, "vgg11_bn": vgg11_bn,
    "resnet20": cifar_resnet(3), "resnet32": cifar_resnet(5), "resnet44": cifar_resnet(7), "resnet56": cifar_resnet(9),
    "resnet18": torchvision_resnet("resnet18", False), "resnet34": torchvision_resnet("resnet34", False), "mobilenet_v2": mobilenet_v2(1)}
IMAGENET = {
    "vgg11_bn": lambda image, classes: models.vgg11_bn(num_classes=classes),
    "resnet18": torchvision_resnet("resnet18", True), "resnet34": torchvision_resnet("resnet34", True), "mobilenet_v2": mobilenet_v2(2)}


def write(out, name, form, image, classes, build, state=True, run=True):
    model = build(image, classes).double().eval()
    print("model", name, form, *image, classes, file=out)
    if state:
        for key, tensor in sorted(model.state_dict().items()):
            print(key, *tensor.shape, file=out)
    if run:
        fill(model)
        with torch.no_grad():
            logits = model((4 * numbers(math.prod(image), 4711)).reshape(1, *image))[0]
        print("logits", *(repr(v) for v in logits.tolist()), file=out)
        print(name, form, logits.tolist()[:3])


def main():
    with OUT.open("w") as out:
        for name, build in SMALL.items():
            grey = name in ("mlp", "lenet", "simpleconvnet", "deepconvnet")
            write(out, name, "small", (1, 28, 28) if grey else (3, 32, 32), 10, build)
            write(out, name, "small", (2, 37, 34), 3, build, state=False)
        for name, build in IMAGENET.items():
            write(out, name, "imagenet", (3, 224, 224), 1000, build, run=False)
            if name != "vgg11_bn":  # whose linear layers take a gigabyte in f64
                write(out, name, "imagenet", (2, 70, 65), 3, build, state=False)


main()
