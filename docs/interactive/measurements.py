"""The comparison's and the benchmarks' figures, from the JSON files that the commands wrote."""

import json

import altair as alt
import pandas as pd
import streamlit as st

from interactive import text


def ratios(file):
    """{"train/mlp/64": 1.7, …} as rows."""
    rows = []
    for name, ratio in json.loads(file.read_text(encoding="utf-8")).get("ratios", {}).items():
        task, model, batch = name.split("/")[:3]
        rows.append({"task": f"{task}, batch {batch}", "model": model, "times PyTorch's speed": ratio})
    return pd.DataFrame(rows)


def curves(file):
    """The comparison's training curves as rows, whatever runs there are."""
    rows = []
    for run in json.loads(file.read_text(encoding="utf-8")).get("curves", []):
        for series, values in run["series"].items():
            rows += [{"model": run["model"], "series": series, "step": i, "loss": value} for i, value in enumerate(values)]
    return pd.DataFrame(rows)


def page():
    st.title("Measurements")
    shown = False
    benchmarks, comparison = text.DOCS / "benchmarks.json", text.DOCS / "comparison.json"
    if benchmarks.exists() and not (data := ratios(benchmarks)).empty:
        shown = True
        st.header("Speed: PyTorch's fastest variant ÷ NyangTorch")
        st.markdown("Longer is faster; at 1 both take the same time. Measured in turn, in one run: [how](/benchmarks).")
        task = st.radio("Task", sorted(data["task"].unique()), horizontal=True)
        bars = alt.Chart(data[data["task"] == task]).mark_bar().encode(x="times PyTorch's speed", y=alt.Y("model", sort="-x"))
        st.altair_chart(bars + alt.Chart(pd.DataFrame({"one": [1]})).mark_rule(color="#e4572e").encode(x="one"))
        st.dataframe(data.pivot(index="model", columns="task", values="times PyTorch's speed").round(2))
    if comparison.exists() and not (data := curves(comparison)).empty:
        shown = True
        st.header("The same training in both")
        model = st.radio("Model", sorted(data["model"].unique()), horizontal=True)
        lines = alt.Chart(data[data["model"] == model]).mark_line(opacity=0.7)
        st.altair_chart(lines.encode(x="step", y=alt.Y("loss", scale=alt.Scale(type="symlog")), color="series", strokeDash="series"))
    if not shown:
        st.info("Nothing was measured yet: run `cargo xtask bench` or `cargo xtask parity train`.")
