"""PyTorch's side for what changes parameters: optimizers, schedules, clipping, averages. Two parameters, w and b; dw and db for each step."""

import torch
from torch import optim as O
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import lr_scheduler as S
from torch.optim.swa_utils import get_ema_multi_avg_fn

SHOWN = (1, 2, 3, 10, 25, 50)


class Lion(O.Optimizer):
    """Program 1 of arXiv:2302.06675."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (m * beta1 + p.grad * (1 - beta1)).sign()
                p.mul_(1 - lr * group["weight_decay"]).sub_(lr * update)
                m.mul_(beta2).add_(p.grad * (1 - beta2))


def optimizer(expression, given):
    w, b = given["w"].clone().requires_grad_(), given["b"].clone().requires_grad_()
    optimizer, schedule = expression.split(" | ")
    o = eval(optimizer, globals() | {"p": [w, b], "w": w, "b": b})
    schedule = eval(schedule, globals() | {"o": o})
    shown = {"w": [], "b": []}
    for t, (dw, db) in enumerate(zip(given["dw"], given["db"]), 1):
        w.grad, b.grad = dw.clone(), db.clone()
        o.step()
        if t < len(given["dw"]):
            schedule.step()
        if t in SHOWN:
            shown["w"].append(w.detach().clone())
            shown["b"].append(b.detach().clone())
    return {name: torch.stack(values) for name, values in shown.items()}


def clip(expression, given):
    w, b = given["w"].clone().requires_grad_(), given["b"].clone().requires_grad_()
    w.grad, b.grad = given["dw"][0].clone(), given["db"][0].clone()
    norm = eval(expression, globals() | {"p": [w, b]})
    return {"dw": w.grad, "db": b.grad} | ({} if norm is None else {"norm": norm})


def ema(expression, given):
    average, answer = get_ema_multi_avg_fn(float(expression)), {}
    for name in "wb":
        values = given[f"d{name}"]
        mean = values[0].clone()
        for value in values[1:]:
            average([mean], [value], None)
        answer[name] = mean
    return answer


def one_rate():
    return O.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)


def schedule(expression, given, steps=100):
    o = one_rate()
    made, rates, momenta = eval(expression, globals() | {"o": o}), [], []
    for t in range(steps):
        rates.append(o.param_groups[0]["lr"])
        momenta.append(o.param_groups[0]["momentum"])
        o.step()
        if t + 1 < steps:
            made.step()
    return {"lr": torch.tensor(rates)} | ({"momentum": torch.tensor(momenta)} if "OneCycle" in expression else {})


def plateau(expression, given):
    o = one_rate()
    made, rates = eval(expression, globals() | {"o": o}), []
    for metric in given["metric"].tolist():
        made.step(metric)
        rates.append(o.param_groups[0]["lr"])
    return {"lr": torch.tensor(rates)}
