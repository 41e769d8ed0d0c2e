"""The benchmarks' figures as a picture, from the table that `cargo xtask bench --write` wrote."""

import altair as alt
import pandas as pd
import streamlit as st

from interactive import text


def ratios(table):
    """The rows of benchmarks.md that have a ratio: task, model, ratio."""
    rows = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0].count("/") == 2 and cells[5] != "–":
            task, model, batch = cells[0].split("/")
            name = {"train": "train", "infer": "answer", "start": "start and take one step"}.get(task, task)
            rows.append({"task": f"{name}, batch {batch}", "model": model, "times as fast": float(cells[5])})
    return pd.DataFrame(rows)


def page():
    st.title("Measurements")
    file = text.DOCS / "benchmarks.md"
    data = ratios(file.read_text(encoding="utf-8")) if file.exists() else pd.DataFrame()
    if data.empty:
        st.info("Nothing was measured yet: run `cargo xtask bench train infer --torch PYTHON --write`.")
        return
    st.header("Speed: PyTorch's fastest variant ÷ NyangTorch")
    st.markdown("Longer is faster; at 1 both take the same time. Measured in turn, in one run: [all figures](/benchmarks).")
    task = st.radio("Task", sorted(data["task"].unique(), reverse=True), horizontal=True)
    bars = alt.Chart(data[data["task"] == task]).mark_bar().encode(x="times as fast", y=alt.Y("model", sort="-x"))
    st.altair_chart(bars + alt.Chart(pd.DataFrame({"one": [1]})).mark_rule(color="#e4572e").encode(x=alt.X("one", title="times as fast")))
    st.dataframe(data.pivot(index="model", columns="task", values="times as fast").round(2))
    st.markdown("That both compute the same, step by step, is on [a page of its own](/comparison).")
