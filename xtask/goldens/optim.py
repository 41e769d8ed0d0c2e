"""PyTorch's numbers for nyang-optim's tests:  python optim.py > ../../crates/nyang-optim/tests/pytorch.txt

Each line is a name and numbers. Optimizers: three values after steps 1, 2, 3, 10, 25, 50. Schedules: the learning rate at t = 0 … 99, and for
`…/momentum` the momentum. Averages and plateaus: what they give after each of 50 updates. Gradients and metrics are small fractions by a formula,
so that both sides have exactly the same. Lion, which PyTorch has not, is Program 1 of arXiv:2302.06675.
"""

import math

import torch
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

torch.set_default_dtype(torch.float64)

STEPS = 50
SHOWN = (1, 2, 3, 10, 25, 50)


def gradient(t):
    return torch.tensor([((7 * t + 13 * i) % 11 - 5) / 8 for i in range(3)])


def first():
    return torch.tensor([1.0, -0.5, 0.25])


def show(name, numbers):
    print(name, *(repr(float(number)) for number in numbers))


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                state = self.state[p]
                m = state.setdefault("m", torch.zeros_like(p))
                update = (m * beta1 + p.grad * (1 - beta1)).sign()
                p.mul_(1 - lr * group["weight_decay"]).sub_(lr * update)
                m.mul_(beta2).add_(p.grad * (1 - beta2))


def optimizer(name, make):
    p = first().requires_grad_()
    optimizer, shown = make([p]), []
    for t in range(1, STEPS + 1):
        p.grad = gradient(t)
        optimizer.step()
        shown += p.tolist() if t in SHOWN else []
    show(name, shown)


def groups(name):
    """The first value's group: learning rate times 0.1, weight decay 0.2; the others': no weight decay."""
    p, q = (v.clone().requires_grad_() for v in first().split([1, 2]))
    optimizer = torch.optim.AdamW([{"params": [p], "lr": 0.001, "weight_decay": 0.2}, {"params": [q], "weight_decay": 0.0}], lr=0.01)
    shown = []
    for t in range(1, STEPS + 1):
        p.grad, q.grad = gradient(t).split([1, 2])
        optimizer.step()
        shown += torch.cat([p, q]).tolist() if t in SHOWN else []
    show(name, shown)


def clipped(name):
    """All three values as two parameters, clipped to a norm of 0.5 and then each to 0.3, before plain steps."""
    p, q = (v.clone().requires_grad_() for v in first().split([1, 2]))
    optimizer, shown = torch.optim.SGD([p, q], lr=0.1), []
    for t in range(1, STEPS + 1):
        p.grad, q.grad = gradient(t).split([1, 2])
        norm = torch.nn.utils.clip_grad_norm_([p, q], 0.5)
        torch.nn.utils.clip_grad_value_([p, q], 0.3)
        optimizer.step()
        shown += [*torch.cat([p, q]).tolist(), norm] if t in SHOWN else []
    show(name, shown)


def schedule(name, make, lr=0.1, optimizer=torch.optim.SGD):
    p = torch.zeros(1, requires_grad=True)
    optimizer = optimizer([p], lr=lr)
    made, rates, momenta = make(optimizer), [], []
    for _ in range(100):
        group = optimizer.param_groups[0]
        rates.append(group["lr"])
        momenta.append(group["momentum"] if "momentum" in group else group["betas"][0])
        optimizer.step()
        if len(rates) < 100:
            made.step()
    show(name, rates)
    if "OneCycle" in name:
        show(f"{name}/momentum", momenta)


def plateau(name, **settings):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    made, rates = schedules.ReduceLROnPlateau(optimizer, **settings), []
    for t in range(STEPS):
        made.step(math.nan if t % 17 == 5 else 1 + (5 * t % 13) / 8 - t / 64)
        rates.append(optimizer.param_groups[0]["lr"])
    show(name, rates)


def average(name, decay):
    model = torch.nn.Linear(3, 1, bias=False)
    ema, shown = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)), []
    for t in range(1, STEPS + 1):
        with torch.no_grad():
            model.weight.copy_(gradient(t).reshape(1, 3))
        ema.update_parameters(model)
        shown += ema.module.weight.flatten().tolist() if t in SHOWN else []
    show(name, shown)


O = torch.optim
optimizer("Sgd/plain", lambda p: O.SGD(p, lr=0.1))
optimizer("Sgd/decay", lambda p: O.SGD(p, lr=0.1, weight_decay=0.1))
optimizer("Sgd/momentum", lambda p: O.SGD(p, lr=0.1, momentum=0.9))
optimizer("Sgd/dampening", lambda p: O.SGD(p, lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.01))
optimizer("Sgd/nesterov", lambda p: O.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01))
optimizer("Adam/plain", lambda p: O.Adam(p, lr=0.01))
optimizer("Adam/settings", lambda p: O.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1))
optimizer("Adam/amsgrad", lambda p: O.Adam(p, lr=0.01, betas=(0.9, 0.9), amsgrad=True))
optimizer("AdamW/plain", lambda p: O.AdamW(p, lr=0.01))
optimizer("AdamW/settings", lambda p: O.AdamW(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.5))
optimizer("AdamW/amsgrad", lambda p: O.AdamW(p, lr=0.01, betas=(0.9, 0.9), weight_decay=0.1, amsgrad=True))
optimizer("RmsProp/plain", lambda p: O.RMSprop(p, lr=0.01))
optimizer("RmsProp/momentum", lambda p: O.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.9, weight_decay=0.1))
optimizer("RmsProp/centered", lambda p: O.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, centered=True))
optimizer("RmsProp/centered_momentum", lambda p: O.RMSprop(p, lr=0.01, momentum=0.5, centered=True))
optimizer("Adagrad/plain", lambda p: O.Adagrad(p, lr=0.1))
optimizer("Adagrad/settings", lambda p: O.Adagrad(p, lr=0.1, lr_decay=0.1, eps=1e-3, initial_accumulator_value=0.5, weight_decay=0.1))
optimizer("NAdam/plain", lambda p: O.NAdam(p, lr=0.01))
optimizer("NAdam/settings", lambda p: O.NAdam(p, lr=0.01, betas=(0.8, 0.9), momentum_decay=0.1, eps=1e-3, weight_decay=0.1))
optimizer("NAdam/decoupled", lambda p: O.NAdam(p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True))
optimizer("RAdam/plain", lambda p: O.RAdam(p, lr=0.01))
optimizer("RAdam/settings", lambda p: O.RAdam(p, lr=0.01, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1))
optimizer("RAdam/decoupled", lambda p: O.RAdam(p, lr=0.01, weight_decay=0.1, decoupled_weight_decay=True))
optimizer("Lion/plain", lambda p: Lion(p, lr=0.01))
optimizer("Lion/settings", lambda p: Lion(p, lr=0.01, betas=(0.8, 0.9), weight_decay=0.5))
groups("Group/two")
clipped("clip/both")
average("Ema/plain", 0.9)

S = schedules
schedule("StepDecay", lambda o: S.StepLR(o, 7, 0.7))
schedule("MultiStep", lambda o: S.MultiStepLR(o, [5, 40, 41, 80], 0.3))
schedule("ExponentialDecay", lambda o: S.ExponentialLR(o, 0.97))
schedule("Constant", lambda o: S.ConstantLR(o, 1 / 3, 5))
schedule("LinearRamp/default", lambda o: S.LinearLR(o))
schedule("LinearRamp/down", lambda o: S.LinearLR(o, 1.0, 0.1, 60))
schedule("PolynomialDecay", lambda o: S.PolynomialLR(o, 60, 1.7))
schedule("Cosine", lambda o: S.CosineAnnealingLR(o, 40, 0.003))
schedule("CosineWarmRestarts/equal", lambda o: S.CosineAnnealingWarmRestarts(o, 9))
schedule("CosineWarmRestarts/longer", lambda o: S.CosineAnnealingWarmRestarts(o, 5, 3, 0.002))
schedule("OneCycle/default", lambda o: S.OneCycleLR(o, 0.1, 100))
settings = {"pct_start": 0.45, "base_momentum": 0.7, "max_momentum": 0.9, "div_factor": 10.0, "final_div_factor": 100.0}
schedule("OneCycle/settings", lambda o: S.OneCycleLR(o, 0.1, 100, **settings), optimizer=O.Adam)
schedule("WarmUp", lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.01, 1.0, 10), S.CosineAnnealingLR(o, 90)], [10]))
parts = lambda o: [S.ConstantLR(o, 0.5, 3), S.ExponentialLR(o, 0.9), S.StepLR(o, 10, 0.5)]
schedule("Sequence", lambda o: S.SequentialLR(o, parts(o), [8, 30]))
plateau("ReduceOnPlateau/default", factor=0.1)
plateau("ReduceOnPlateau/settings", factor=0.5, patience=2, threshold=0.05, cooldown=3, min_lr=0.004)
plateau("ReduceOnPlateau/max", mode="max", factor=0.6, patience=3, threshold=0.1, threshold_mode="abs")
