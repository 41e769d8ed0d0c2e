"""PyTorch's side of `cargo xtask parity`:  python reference.py QUESTIONS ANSWERS, both safetensors files.

The questions' metadata has two things for each name: one of the functions imported here, and the expression that it is given. Their tensors are
called `name|array`, and so are those of the answers.
"""

import json
import sys

import torch
from first_values import first_values, weights
from layers import layer_eval, layer_train, loss
from safetensors import safe_open
from safetensors.torch import save_file
from scores import metrics
from training import clip, ema, optimizer, plateau, schedule

FUNCTIONS = [layer_train, layer_eval, loss, optimizer, clip, ema, schedule, plateau, weights, first_values, metrics]


def main(questions, answers):
    torch.set_default_dtype(torch.float64)
    functions = {function.__name__: function for function in FUNCTIONS}
    with safe_open(questions, "pt") as file:
        asked = json.loads(file.metadata()["torch"])
        given = {name: {} for name in asked}
        for key in file.keys():
            name, array = key.split("|")
            given[name][array] = file.get_tensor(key)
    answered = {}
    for name, (function, expression) in asked.items():
        try:
            answer = functions[function](expression, given[name])
        except Exception as error:
            sys.exit(f"{name}: {expression}: {type(error).__name__}: {error}")
        answered |= {f"{name}|{array}": value.detach().contiguous().clone() for array, value in answer.items()}
    save_file(answered, answers, metadata={"version": torch.__version__})


main(*sys.argv[1:])
