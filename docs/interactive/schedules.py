"""Learning rates over time."""

import math

import altair as alt
import pandas as pd
import streamlit as st


def one_cycle(t, total, peak):
    """PyTorch's OneCycleLR: up for 30 % of the steps, then down, both along a cosine."""
    between = lambda a, b, share: b + (a - b) / 2 * (1 + math.cos(math.pi * share))
    up = 0.3 * total - 1
    if t <= up:
        return between(peak / 25, peak, t / up)
    return between(peak, peak / 25e4, (t - up) / (total - 1 - up))


def restarts(t, base, first):
    """Cosine curves, each twice as long as the one before."""
    while t >= first:
        t, first = t - first, first * 2
    return base / 2 * (1 + math.cos(math.pi * t / first))


SCHEDULES = {
    "StepDecay": (r"\eta_t = \eta_0\,\gamma^{\lfloor t / s \rfloor}", lambda t, n, b: b * 0.3 ** (t // max(n // 4, 1))),
    "ExponentialDecay": (r"\eta_t = \eta_0\,\gamma^t", lambda t, n, b: b * 0.95**t),
    "Linear": (r"\eta_t = \eta_0\,(1 - t / T)", lambda t, n, b: b * (1 - t / n)),
    "Polynomial": (r"\eta_t = \eta_0\,(1 - t / T)^2", lambda t, n, b: b * (1 - t / n) ** 2),
    "Cosine": (r"\eta_t = \tfrac{\eta_0}{2}\left(1 + \cos \tfrac{\pi t}{T}\right)", lambda t, n, b: b / 2 * (1 + math.cos(math.pi * t / n))),
    "Warm restarts": (r"\text{cosine curves, each twice as long as the last}", lambda t, n, b: restarts(t, b, max(n // 7, 1))),
    "OneCycle": (r"\text{up along a cosine for 30 \%, then down to almost nothing}", lambda t, n, b: one_cycle(t, n, b)),
}


def page():
    st.title("Schedules")
    st.markdown("Large steps explore, small steps settle. A warm-up protects the first, random gradients from steps that are too large.")
    names = st.multiselect("Schedules", SCHEDULES, default=["StepDecay", "Cosine", "OneCycle"])
    total = st.slider("Epochs (or steps)", 10, 200, 60)
    base = st.select_slider("Learning rate", [0.001, 0.003, 0.01, 0.03, 0.1, 0.3], 0.1)
    warm = st.slider("Warm-up in front", 0, 20, 0)
    rows = []
    for name in names:
        formula, lr = SCHEDULES[name]
        st.latex(rf"\textrm{{{name}}}:\quad {formula}")
        for t in range(total):
            value = base * (t + 1) / (warm + 1) if t < warm else lr(t - warm, max(total - warm, 1), base)
            rows.append({"schedule": name, "t": t, "learning rate": value})
    if rows:
        st.altair_chart(alt.Chart(pd.DataFrame(rows)).mark_line().encode(x="t", y="learning rate", color="schedule", tooltip=["t", "learning rate"]))
