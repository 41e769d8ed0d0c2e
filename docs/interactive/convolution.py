"""A convolution, one window at a time."""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

KERNELS = {
    "vertical edge": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "horizontal edge": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "blur": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "copy": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
}


def picture():
    """A small 7: bright strokes on dark."""
    image = np.zeros((8, 8), int)
    image[1, 1:7] = 9
    for row, column in enumerate((6, 5, 5, 4, 4, 3), 2):
        image[row, column] = 9
    return image


def grid(values, title, marked=(), scheme="greys"):
    """A matrix as a picture with its numbers; `marked` cells have a frame."""
    rows, columns = values.shape
    cells = [{"row": r, "column": c, "value": float(values[r, c]), "text": f"{values[r, c]:g}"} for r in range(rows) for c in range(columns)]
    frame = alt.Chart(pd.DataFrame(cells))
    axes = dict(x=alt.X("column:O", axis=None), y=alt.Y("row:O", axis=None))
    color = alt.Color("value:Q", scale=alt.Scale(scheme=scheme), legend=None)
    middle = (values.max() + values.min()) / 2
    layers = frame.mark_rect(stroke="#ddd").encode(**axes, color=color) + frame.mark_text().encode(
        **axes, text="text", color=alt.condition(f"datum.value > {middle}", alt.value("white"), alt.value("black"))
    )
    if marked:
        places = pd.DataFrame([{"row": r, "column": c} for r, c in marked])
        layers += alt.Chart(places).mark_rect(stroke="#e4572e", strokeWidth=3, filled=False).encode(**axes)
    return layers.properties(title=title, width=32 * columns, height=32 * rows)


def page():
    st.title("Convolution, step by step")
    st.latex(r"y_{i,j} = \sum_{p,q} w_{p,q}\; x_{s i + p - \mathrm{pad},\; s j + q - \mathrm{pad}}")
    st.markdown("The same nine weights look at every place. What lies outside of the picture counts as 0.")
    left, middle, right = st.columns(3)
    kernel = np.array(KERNELS[left.selectbox("Kernel", KERNELS)])
    stride = middle.slider("Stride", 1, 3, 1)
    padding = right.slider("Padding", 0, 2, 1)
    image = np.pad(picture(), padding)
    size = (image.shape[0] - 3) // stride + 1
    st.caption(f"Output: ⌊(8 + 2·{padding} − 3) / {stride}⌋ + 1 = {size} rows and columns")
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))[::stride, ::stride]
    output = (windows * kernel).sum((2, 3))

    step = st.slider("Window", 0, size * size - 1, min(size + 1, size * size - 1))
    i, j = divmod(step, size)
    top, side = i * stride, j * stride
    marked = [(top + p, side + q) for p in range(3) for q in range(3)]
    a, b, c = st.columns([4, 2, 4], gap="large")
    a.altair_chart(grid(image, "x, with its padding", marked), width="content")
    b.altair_chart(grid(kernel, "w", scheme="purpleorange"), width="content")
    c.altair_chart(grid(output, "y", [(i, j)], scheme="blues"), width="content")
    terms = " + ".join(f"({w})·{x}" for w, x in zip(kernel.ravel(), windows[i, j].ravel()) if w)
    st.markdown(f"**y[{i},{j}]** = {terms} = **{output[i, j]}**")
    st.markdown(
        "Backward, the same windows: each weight's gradient is the sum over all windows of `dy · x`, and each pixel gets `dy · w` from every "
        "window that saw it."
    )
