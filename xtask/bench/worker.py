"""PyTorch's side of `cargo xtask bench`: a process that measures one case, as often as it is asked to.

    python worker.py THREADS train lenet 64

The words after THREADS name the case; they are those of the Rust side, which speaks the same language in `src/bench/worker.rs`. Requests are
lines on standard input, answers are lines of JSON:

    variants             ["eager", "eager+cl", …]: how PyTorch can do it
    prepare VARIANT      {} once the variant has run, or {"error": "…"}
    run VARIANT SECONDS  {"samples": [seconds, …], "cpu": seconds of processor time per call}
    memory               {"peak_mb": …}: the most memory that the process has had

Variants are words joined by `+`: eager, compile, compile_freeze (its weights constants), jit_freeze; cl for channels-last memory; fused for the
fused optimizer; foreach and loop for its other forms.
"""

import json
import resource
import sys
import time
import warnings

import torch
import torch.nn.functional as F
from torch import nn

import data as loading

CLASSES = 10


# ------------------------------------------------------------------------------------------------------------------------------- the models

def sequence(*layers):
    return nn.Sequential(*layers)


def mlp():
    return sequence(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def lenet():
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return sequence(*convolutions, nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES))


def simpleconvnet():
    convolution = [nn.Conv2d(1, 30, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return sequence(*convolution, nn.Flatten(), nn.Linear(4320, 100), nn.ReLU(), nn.Linear(100, CLASSES))


def deepconvnet():
    layers, channels = [], 1
    for out, paddings in ((16, (1, 1)), (32, (1, 2)), (64, (1, 1))):
        for padding in paddings:
            layers += [nn.Conv2d(channels, out, 3, padding=padding), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
    head = [nn.Linear(1024, 50), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, CLASSES), nn.Dropout(0.5)]
    return sequence(*layers, nn.Flatten(), *head)


def vgg11_bn():
    import torchvision
    return sequence(torchvision.models.vgg11_bn().features, nn.Flatten(), nn.Linear(512, CLASSES))


class SmallBlock(nn.Module):
    """The basic block of the residual networks for small images, whose shortcut has no parameters."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.pad = stride, (out - channels) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.pad:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)


def resnet20():
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for out, stride in ((16, 1), (32, 2), (64, 2)):
        for block in range(3):
            layers.append(SmallBlock(channels, out, stride if block == 0 else 1))
            channels = out
    return sequence(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def resnet18():
    import torchvision
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return model


def mobilenetv2():
    import torchvision
    model = torchvision.models.mobilenet_v2(num_classes=CLASSES)
    model.features[0][0].stride = (1, 1)
    return model


MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
MODELS = {
    "mlp": (mlp, MNIST, "adam"), "lenet": (lenet, MNIST, "sgd"), "simpleconvnet": (simpleconvnet, MNIST, "adam"),
    "deepconvnet": (deepconvnet, MNIST, "adam"), "vgg11_bn": (vgg11_bn, CIFAR, "sgd"), "resnet20": (resnet20, CIFAR, "sgd"),
    "resnet18": (resnet18, CIFAR, "sgd"), "mobilenetv2": (mobilenetv2, CIFAR, "sgd"),
}


def optimizer_of(kind, parameters, **options):
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=1e-3, **options)
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, **options)


def in_layout(x, words):
    return x.contiguous(memory_format=torch.channels_last) if "cl" in words and x.dim() == 4 else x


# -------------------------------------------------------------------------------------------------------------------------------- the cases
# Each takes the case's words and the variant's, and returns what is to be called again and again.

def step_of(words, name):
    """A training step, as a function of images and labels."""
    build, _, kind = MODELS[name]
    model = build().train()
    if "cl" in words:
        model = model.to(memory_format=torch.channels_last)
    optimizer = optimizer_of(kind, model.parameters(), fused="fused" in words)

    def loss_of(images, labels):
        return F.cross_entropy(model(images), labels)

    forward = torch.compile(loss_of, dynamic=False) if "compile" in words else loss_of

    def step(images, labels):
        optimizer.zero_grad(set_to_none=True)
        forward(images, labels).backward()
        optimizer.step()

    return step


def train(words, name, batch):
    images, labels = in_layout(torch.randn(int(batch), *MODELS[name][1]), words), torch.randint(CLASSES, (int(batch),))
    step = step_of(words, name)
    return lambda: step(images, labels)


def epoch(words, name, batch):
    step, batches = step_of(words, name), loading.epoch(MODELS[name][1], CLASSES, int(batch))

    def one_epoch():
        for images, labels in batches():
            step(in_layout(images, words), labels)
    return one_epoch


def infer(words, name, batch):
    build, image, _ = MODELS[name]
    model, images = build().eval(), in_layout(torch.randn(int(batch), *image), words)
    if "cl" in words:
        model = model.to(memory_format=torch.channels_last)
    guard = torch.inference_mode
    if "jit_freeze" in words:
        with torch.no_grad():
            model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, images)))
    elif "compile" in words:
        model = torch.compile(model, dynamic=False)
    elif "compile_freeze" in words:
        model, guard = torch.compile(model, dynamic=False, options={"freezing": True}), torch.no_grad

    def once():
        with guard():
            model(images)

    return once


def conv(words, *case):
    n, c, o, size, kernel, stride, padding, groups = map(int, case[:8])
    x, w = in_layout(torch.randn(n, c, size, size), words), in_layout(torch.randn(o, c // groups, kernel, kernel), words)
    settings = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups)
    dy = torch.randn_like(torch.ops.aten.convolution(x, w, None, *settings))
    if case[8] == "fwd":
        return lambda: torch.ops.aten.convolution(x, w, None, *settings)
    wanted = [case[8] == "input", case[8] == "weight", False]
    return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, *settings, wanted)


def layer(words, kind, n, c, size, which):
    x = in_layout(torch.randn(int(n), int(c), int(size), int(size)), words).requires_grad_()
    if kind == "batch_norm":
        module = nn.BatchNorm2d(int(c))
    elif kind == "batch_norm_relu":
        module = sequence(nn.BatchNorm2d(int(c)), nn.ReLU())
    else:
        module = {"relu": nn.ReLU(), "max_pool": nn.MaxPool2d(2), "add": lambda x: x + x, "global_avg_pool": nn.AdaptiveAvgPool2d(1)}[kind]
    return forward_or_both(module, [x, *getattr(module, "parameters", list)()], which)


def linear(words, n, inputs, outputs, which):
    module, x = nn.Linear(int(inputs), int(outputs)), torch.randn(int(n), int(inputs), requires_grad=True)
    return forward_or_both(lambda _: module(x), [x, *module.parameters()], which)


def cross_entropy(words, n, classes, which):
    x, target = torch.randn(int(n), int(classes), requires_grad=True), torch.randint(int(classes), (int(n),))
    return forward_or_both(lambda x: F.cross_entropy(x, target), [x], which)


def forward_or_both(module, inputs, which):
    if which == "fwd":
        @torch.no_grad()
        def forward():
            module(inputs[0])
        return forward
    dy = torch.randn_like(module(inputs[0]))
    return lambda: torch.autograd.grad(module(inputs[0]), inputs, dy)


def gemm(words, size):
    a, b = torch.randn(int(size), int(size)), torch.randn(int(size), int(size))
    out = torch.empty(int(size), int(size))
    return lambda: torch.mm(a, b, out=out)


def optimizer(words, kind):
    parameters = [torch.randn_like(p).requires_grad_() for p in resnet18().parameters()]
    for p in parameters:
        p.grad = torch.randn_like(p) * 1e-3
    return optimizer_of(kind, parameters, fused="fused" in words, foreach="foreach" in words).step


CASES = {f.__name__: f for f in (train, epoch, infer, conv, layer, linear, cross_entropy, gemm, optimizer, loading.data)}
VARIANTS = {
    "train": ["eager", "eager+fused", "eager+cl", "eager+cl+fused", "compile+fused", "compile+cl+fused"],
    "epoch": ["eager+fused", "eager+cl+fused", "compile+cl+fused"],
    "infer": ["eager", "eager+cl", "jit_freeze", "jit_freeze+cl", "compile", "compile+cl", "compile_freeze", "compile_freeze+cl"],
    "conv": ["eager", "eager+cl"], "layer": ["eager", "eager+cl"], "optimizer": ["foreach", "fused", "loop"],
}


def run(call, seconds):
    """The seconds of each call until the time is over; the first, which finds cold caches, is left out if there are others."""
    samples, before, cpu = [], time.perf_counter(), time.process_time()
    end = before + seconds
    while not samples or before < end:
        call()
        now = time.perf_counter()
        samples.append(now - before)
        before = now
    return {"samples": samples[1:] or samples, "cpu": (time.process_time() - cpu) / len(samples)}


def main(threads, kind, *case):
    warnings.filterwarnings("ignore")  # that `torch.jit` is deprecated: it is a variant as long as it is there
    torch.manual_seed(0)
    torch.set_num_threads(int(threads))
    prepared = {}
    print(json.dumps({"version": f"PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        request, *rest = line.split()
        try:
            if request == "variants":
                answer = loading.VARIANTS[case[0]] if kind == "data" else VARIANTS.get(kind, ["eager"])
            elif request == "prepare":
                prepared[rest[0]] = CASES[kind](rest[0].split("+"), *case)
                prepared[rest[0]]()
                answer = {}
            elif request == "run":
                answer = run(prepared[rest[0]], float(rest[1]))
            else:
                answer = {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        except Exception as error:  # a variant that this PyTorch cannot run is an answer too
            answer = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        print(json.dumps(answer), flush=True)


main(*sys.argv[1:])
