"""The paths that optimizers take down a surface."""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

SURFACES = {
    "a long valley": (
        r"L(x, y) = \tfrac{1}{20} x^2 + y^2",
        lambda x, y: x**2 / 20 + y**2,
        lambda x, y: (x / 10, 2 * y),
        (-7.0, 2.0),
        (-8, 8, -4, 4),
    ),
    "a bend (Rosenbrock)": (
        r"L(x, y) = (1 - x)^2 + 5 (y - x^2)^2",
        lambda x, y: (1 - x) ** 2 + 5 * (y - x**2) ** 2,
        lambda x, y: (-2 * (1 - x) - 20 * x * (y - x**2), 10 * (y - x**2)),
        (-1.4, 2.0),
        (-2, 2, -1, 3),
    ),
    "a saddle": (
        r"L(x, y) = x^2 - y^2 + \tfrac14 y^4",
        lambda x, y: x**2 - y**2 + y**4 / 4,
        lambda x, y: (2 * x, -2 * y + y**3),
        (-1.8, 0.01),
        (-2.5, 2.5, -2.5, 2.5),
    ),
}


def sgd(lr, momentum=0.0, nesterov=False):
    u = np.zeros(2)

    def step(p, g, t):
        nonlocal u
        u = momentum * u + g
        return p - lr * (g + momentum * u if nesterov else u)

    return step


def adam(lr, decay=0.0):
    m, v = np.zeros(2), np.zeros(2)

    def step(p, g, t):
        nonlocal m, v
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return p * (1 - lr * decay) - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    return step


def rmsprop(lr):
    v = np.zeros(2)

    def step(p, g, t):
        nonlocal v
        v = 0.99 * v + 0.01 * g * g
        return p - lr * g / (np.sqrt(v) + 1e-8)

    return step


OPTIMIZERS = {
    "SGD": (sgd, 0.1),
    "SGD, momentum 0.9": (lambda lr: sgd(lr, 0.9), 0.03),
    "SGD, Nesterov 0.9": (lambda lr: sgd(lr, 0.9, True), 0.03),
    "RMSprop": (rmsprop, 0.05),
    "Adam": (adam, 0.2),
    "AdamW, decay 0.1": (lambda lr: adam(lr, 0.1), 0.2),
}


def path(optimizer, gradient, start, steps):
    """The places visited; a path that leaves every bound ends there."""
    p, places = np.array(start), [start]
    for t in range(1, steps + 1):
        p = optimizer(p, np.array(gradient(*p)), t)
        if not np.all(np.abs(p) < 1e3):
            break
        places.append(tuple(p))
    return places


def page():
    st.title("Optimizers on a surface")
    st.markdown("Each knows only the slope where it stands. The formulas are those of the [reference](/reference#optimizers-and-what-goes-with-them).")
    surface = st.selectbox("Surface", SURFACES)
    formula, loss, gradient, start, (x0, x1, y0, y1) = SURFACES[surface]
    st.latex(formula)
    names = st.multiselect("Optimizers", OPTIMIZERS, default=["SGD", "SGD, momentum 0.9", "Adam"])
    scale = st.slider("Learning rates ×", 0.1, 3.0, 1.0, 0.1)
    steps = st.slider("Steps", 5, 200, 60)

    x, y = np.meshgrid(np.linspace(x0, x1, 60, endpoint=False), np.linspace(y0, y1, 60, endpoint=False))
    ground = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "height": np.log1p(loss(x, y) - loss(x, y).min()).ravel()})
    ground["right"], ground["top"] = ground.x + (x1 - x0) / 60, ground.y + (y1 - y0) / 60
    axis = dict(
        x=alt.X("x:Q", title="x", scale=alt.Scale(domain=[x0, x1], clamp=True)),
        y=alt.Y("y:Q", title="y", scale=alt.Scale(domain=[y0, y1], clamp=True)),
    )
    grey = dict(scale=alt.Scale(range=["#ffffff", "#8f9aa6"]), legend=None)
    colours = dict(color=alt.Color("height:Q", **grey), stroke=alt.Stroke("height:Q", **grey))
    chart = alt.Chart(ground).mark_rect().encode(**axis, x2="right", y2="top", **colours)
    rows, table = [], []
    for name in names:
        make, lr = OPTIMIZERS[name]
        places = path(make(lr * scale), gradient, start, steps)
        rows += [{"optimizer": name, "x": px, "y": py, "step": i} for i, (px, py) in enumerate(places)]
        left = len(places) <= steps
        table.append({"optimizer": name, "learning rate": lr * scale, "loss at the end": "diverged" if left else f"{loss(*places[-1]):.4g}"})
    if rows:
        color = alt.Color("optimizer:N", scale=alt.Scale(scheme="set1"))
        lines = alt.Chart(pd.DataFrame(rows)).encode(**axis, color=color, order="step:Q", tooltip=["optimizer", "step", "x", "y"])
        paths = alt.layer(lines.mark_line(strokeWidth=2.5), lines.mark_point(size=14, filled=True, opacity=1))
        chart = alt.layer(chart, paths).resolve_scale(color="independent")
    st.altair_chart(chart.properties(height=480))
    st.dataframe(pd.DataFrame(table), hide_index=True)
