"""Activation functions and their slopes, side by side."""

import math

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (formula, f, f′), with `a` the setting where there is one
FUNCTIONS = {
    "ReLU": (r"f(x) = \max(x, 0)", lambda x, a: np.maximum(x, 0), lambda x, a: (x > 0) * 1.0),
    "LeakyReLU": (
        r"f(x) = x \text{ where } x > 0,\ \text{else } \alpha x",
        lambda x, a: np.where(x > 0, x, a * x),
        lambda x, a: np.where(x > 0, 1.0, a),
    ),
    "ELU": (
        r"f(x) = x \text{ where } x > 0,\ \text{else } \alpha (e^x - 1)",
        lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
        lambda x, a: np.where(x > 0, 1.0, a * np.exp(np.minimum(x, 0))),
    ),
    "SELU": (
        r"f(x) = \lambda x \text{ where } x > 0,\ \text{else } \lambda \alpha (e^x - 1),\quad \lambda = 1.0507,\ \alpha = 1.6733",
        lambda x, a: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
        lambda x, a: 1.0507009873554805 * np.where(x > 0, 1, 1.6732632423543772 * np.exp(np.minimum(x, 0))),
    ),
    "Sigmoid": (r"f(x) = \frac{1}{1 + e^{-x}}", lambda x, a: sigmoid(x), lambda x, a: sigmoid(x) * sigmoid(-x)),
    "Tanh": (r"f(x) = \tanh x", lambda x, a: np.tanh(x), lambda x, a: 1 - np.tanh(x) ** 2),
    "SiLU": (r"f(x) = x\,\sigma(x)", lambda x, a: x * sigmoid(x), lambda x, a: sigmoid(x) * (1 + x * sigmoid(-x))),
    "GELU": (
        r"f(x) = x\,\Phi(x)",
        lambda x, a: x * 0.5 * (1 + erf(x / math.sqrt(2))),
        lambda x, a: 0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "Softplus": (r"f(x) = \ln(1 + e^x)", lambda x, a: np.logaddexp(0, x), lambda x, a: sigmoid(x)),
    "Hardswish": (
        r"f(x) = x \cdot \min(\max(x + 3, 0), 6) / 6",
        lambda x, a: x * np.clip(x + 3, 0, 6) / 6,
        lambda x, a: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)),
    ),
}
SETTINGS = {"LeakyReLU": (0.0, 1.0, 0.01), "ELU": (0.0, 3.0, 1.0)}


def page():
    st.title("Activations and their slopes")
    st.markdown(
        "The forward pass uses f, the backward pass f′: the gradient that arrives is multiplied by the slope at the place where the "
        "input was. Where the slope is 0, nothing is learnt."
    )
    names = st.multiselect("Functions", FUNCTIONS, default=["ReLU", "GELU"])
    setting = {name: st.slider(f"α of {name}", *SETTINGS[name]) for name in names if name in SETTINGS}
    at = st.slider("An input x", -5.0, 5.0, 1.0, 0.1)
    x = np.linspace(-5, 5, 401)
    rows, table = [], []
    for name in names:
        formula, f, slope = FUNCTIONS[name]
        st.latex(formula)
        a = setting.get(name, 0.0)
        for what, values in (("f(x)", f(x, a)), ("f′(x)", slope(x, a))):
            rows.append(pd.DataFrame({"x": x, "y": values, "function": name, "what": what}))
        point = np.array([at])
        table.append({"function": name, "f(x)": float(f(point, a)[0]), "f′(x)": float(slope(point, a)[0])})
    if not rows:
        st.info("Choose a function.")
        return
    data = pd.concat(rows)
    line = alt.Chart(data).mark_line().encode(x="x", y=alt.Y("y", title=None), color="function")
    rule = alt.Chart(pd.DataFrame({"x": [at]})).mark_rule(strokeDash=[4, 4]).encode(x="x")
    left, right = st.columns(2)
    left.altair_chart((line.transform_filter("datum.what == 'f(x)'") + rule).properties(title="f(x): forward"))
    right.altair_chart((line.transform_filter("datum.what == 'f′(x)'") + rule).properties(title="f′(x): backward"))
    st.dataframe(pd.DataFrame(table).round(4), hide_index=True)
