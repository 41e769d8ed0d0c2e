"""The other side of `cargo xtask compare exchange`:  python exchange.py make|check FOLDER

`make` writes torchvision models with random weights, an input and their logits. `check` reads what our side wrote: weights into torchvision's
models, and ONNX files into onnx's checker and onnxruntime. A line of JSON for each: name, the largest difference from our side's logits as a part
of the largest logit (at least 1), or what went wrong.
"""

import json
import pathlib
import sys
import traceback

import numpy
from safetensors.numpy import load_file as numpy_file

MODELS = ["resnet18", "resnet34", "vgg11_bn", "mobilenet_v2"]


def make(folder):
    import torch
    import torchvision
    from safetensors.torch import save_file

    for name in MODELS:
        torch.manual_seed(1)
        model = getattr(torchvision.models, name)(num_classes=10)
        with torch.no_grad():  # running statistics of something, not 0 and 1
            model.train()(torch.randn(4, 3, 224, 224))
            model.eval()
            x = torch.randn(2, 3, 224, 224)
            y = model(x)
        torch.save(model.state_dict(), folder / f"{name}.theirs.pth")
        save_file({"x": x, "y": y}, folder / f"{name}.theirs.answer.safetensors")


def difference(ours, theirs):
    if ours.shape != theirs.shape:
        raise ValueError(f"ours is {tuple(ours.shape)}, theirs {tuple(theirs.shape)}")
    return float(numpy.abs(ours - theirs).max() / max(numpy.abs(theirs).max(), 1))


def weights(folder, name):
    import torch
    import torchvision
    from safetensors.torch import load_file

    model = getattr(torchvision.models, name)(num_classes=10).eval()
    model.load_state_dict(load_file(folder / f"{name}.ours.safetensors"))
    answer = load_file(folder / f"{name}.ours.answer.safetensors")
    with torch.no_grad():
        return difference(answer["y"].numpy(), model(answer["x"]).numpy())


def plain(folder, name):
    """Our state dict in PyTorch's own modules, strictly by name."""
    import torch
    from safetensors.torch import load_file

    from train import network

    answer = load_file(folder / f"{name}.plain.answer.safetensors")
    model = network(name, list(answer["x"].shape[1:]), answer["y"].shape[1]).eval()
    model.load_state_dict(load_file(folder / f"{name}.plain.safetensors"))
    with torch.no_grad():
        return difference(answer["y"].numpy(), model(answer["x"]).numpy())


def onnx_file(path):
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answer = numpy_file(path.with_suffix(".safetensors"))
    [output] = session.run(None, {"images": answer["x"]})
    return difference(answer["y"], output)


def check(folder):
    jobs = [(f"weights to torchvision: {name}", weights, (folder, name)) for name in MODELS if (folder / f"{name}.ours.safetensors").exists()]
    # found by their answers: a case called Linear/plain has weights called Linear.plain.safetensors
    networks = [path.name.split(".")[0] for path in sorted(folder.glob("*.plain.answer.safetensors"))]
    jobs += [(f"weights to PyTorch: {name}", plain, (folder, name)) for name in networks]
    jobs += [(f"onnxruntime: {path.stem}", onnx_file, (path,)) for path in sorted(folder.glob("*.onnx"))]
    for name, job, arguments in jobs:
        try:
            print(json.dumps({"name": name, "difference": job(*arguments)}), flush=True)
        except Exception as error:
            text = "".join(traceback.format_exception_only(error)).strip()
            print(json.dumps({"name": name, "wrong": text[:500]}), flush=True)


{"make": make, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
