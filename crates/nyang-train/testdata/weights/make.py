"""Makes the files beside it: one small network's weights, as PyTorch writes them in all its ways, and files that are not to be trusted.

    python make.py            # needs torch and safetensors

`answer.safetensors` has an input `x` and what the network makes of it, `y`, in float64.
"""

import argparse
import collections
import copy
import os
import pathlib
import pickle
import zipfile

import torch
from safetensors.torch import save_file
from torch import nn

here = pathlib.Path(__file__).parent
torch.manual_seed(1)


def network():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


model = network()
with torch.no_grad():
    for batch in range(3):  # so that running statistics are no longer 0 and 1
        model(torch.randn(8, 2, 4, 4))
model.eval()
state = model.state_dict()
x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
exact = network().double().eval()
exact.load_state_dict(state)
save_file({"x": x, "y": exact(x).detach()}, here / "answer.safetensors")


def cast(dtype):
    return collections.OrderedDict((name, t.to(dtype) if t.is_floating_point() else t) for name, t in state.items())


save_file(dict(state), here / "plain.safetensors", {"format": "pt"})
save_file(cast(torch.float16), here / "half.safetensors")
save_file(cast(torch.bfloat16), here / "bfloat16.safetensors")
torch.save(state, here / "plain.pt")
torch.save(state, here / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(cast(torch.float64), here / "double.pth")
torch.save(collections.OrderedDict((name, t) for name, t in state.items() if "num_batches" not in name), here / "no_counters.pth")
torch.save(model, here / "whole_model.pt")

# a checkpoint as training scripts leave it: more than weights, and from several devices
learner = copy.deepcopy(model)
optimizer = torch.optim.SGD(learner.parameters(), lr=0.1, momentum=0.9)
learner(torch.randn(2, 2, 4, 4)).sum().backward()
optimizer.step()
parallel = collections.OrderedDict((f"module.{name}", t) for name, t in state.items())
torch.save(
    {"epoch": 3, "state_dict": parallel, "optimizer": optimizer.state_dict(), "args": argparse.Namespace(lr=0.1)},
    here / "checkpoint.pt",
)

# one number that says it is a thousand million
torch.save({"0.weight": torch.zeros(1).expand(1000, 1000, 1000)}, here / "expanded.pt")


class Run:
    def __reduce__(self):
        return os.system, ("echo this must never be seen",)


def archive(name, pickled):
    with zipfile.ZipFile(here / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")


archive("runs_code.pt", pickle.dumps({"0.weight": Run()}, protocol=2))
(here / "runs_code.pkl").write_bytes(pickle.dumps(Run(), protocol=2))
archive("deep.pt", b"\x80\x02N" + b"\x85" * 1_000_000 + b".")  # a million tuples in one another
archive("bomb.pt", b"\x80\x02" + b"N" * (101 << 20) + b".")  # 100 MB of nothing, packed small
