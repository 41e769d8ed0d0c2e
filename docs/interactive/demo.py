"""Draw a digit and have it read by demo.onnx, a model that NyangTorch trained and exported."""

import base64
import io

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from interactive import text

ONNX = text.DOCS / "demo.onnx"

HTML = '<canvas width="224" height="224"></canvas><br><button>clear</button>'
CSS = "canvas { background: black; border-radius: 8px; touch-action: none; cursor: crosshair } button { margin-top: 6px }"
JS = """
export default function({ parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas"), pen = canvas.getContext("2d");
  if (canvas.ready) return;
  canvas.ready = true;
  Object.assign(pen, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
  let down = false;
  const at = event => [event.offsetX, event.offsetY];
  canvas.onpointerdown = event => { down = true; canvas.setPointerCapture(event.pointerId); pen.beginPath(); pen.moveTo(...at(event)); pen.lineTo(...at(event)); pen.stroke(); };
  canvas.onpointermove = event => { if (down) { pen.lineTo(...at(event)); pen.stroke(); } };
  canvas.onpointerup = () => { down = false; setStateValue("png", canvas.toDataURL("image/png")); };
  parentElement.querySelector("button").onclick = () => { pen.clearRect(0, 0, 224, 224); setStateValue("png", null); };
}
"""


def drawn():
    """What the visitor drew, white on black, or None."""
    canvas = st.components.v2.component("digit_canvas", html=HTML, css=CSS, js=JS)
    value = canvas(key="canvas", on_png_change=lambda: None).get("png")
    if not value:
        return None
    image = Image.open(io.BytesIO(base64.b64decode(value.split(",")[1]))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("L")


def centred(image, size=8):
    """The strokes cut out, on a square of the model's size as the training digits are: they fill it from top to bottom."""
    box = image.getbbox()
    if box is None:
        return None
    cut = image.crop(box)
    side = max(cut.size)
    square = Image.new("L", (side, side))
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return square.resize((size, size), Image.BOX)


@st.cache_resource
def session():
    import onnxruntime

    return onnxruntime.InferenceSession(str(ONNX), providers=["CPUExecutionProvider"])


def probabilities_of(batch):
    """Softmax is in the exported graph, and so is the standardisation: the input is what a picture's bytes are, 0 to 1."""
    run = session()
    return run.run(None, {run.get_inputs()[0].name: batch.astype(np.float32)})[0]


def read(image):
    """Probabilities, and by how much each place matters: the answer's probability falls where it is covered."""
    x = np.asarray(image, np.float32)[None, None] / 255
    p = probabilities_of(x)[0]
    side = x.shape[-1]
    covered = np.repeat(x, side * side, 0)
    for i in range(side * side):
        row, column = divmod(i, side)
        covered[i, 0, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 0
    loss = np.maximum(p.max() - probabilities_of(covered)[:, p.argmax()], 0).reshape(side, side)
    heat = (255 * loss / max(loss.max(), 1e-9)).astype(np.uint8)
    zero = np.zeros_like(heat)
    rgb = np.stack([np.maximum(heat, np.asarray(image) // 3), np.asarray(image) // 3, np.maximum(zero, np.asarray(image) // 3)], -1)
    return {str(i): float(v) for i, v in enumerate(p)}, Image.fromarray(rgb)


def page():
    st.title("Read a digit")
    if not ONNX.exists():
        st.info("There is no model here: train one with `cargo run --release --example onnx`, and put its file beside this app as demo.onnx.")
        return
    left, right = st.columns([1, 2])
    with left:
        image = drawn()
        upload = st.file_uploader("or a picture of one, bright on dark", ["png", "jpg", "jpeg", "bmp"])
    if upload:
        try:
            image = Image.open(upload).convert("L")
        except OSError as error:
            st.error(f"This is no picture that can be read: {error}")
            return
    small = centred(image) if image else None
    if small is None:
        right.info("Draw a digit, large, with one finger or the mouse.")
        return
    with right, st.spinner("reading …"):
        try:
            probabilities, heat = read(small)
        except (RuntimeError, OSError) as error:
            st.error(str(error))
            return
        best = max(probabilities, key=probabilities.get)
        st.subheader(f"{best}, with probability {probabilities[best]:.2f}")
        st.bar_chart(pd.Series(probabilities, name="probability"), horizontal=True, height=280)
        a, b = st.columns(2)
        a.image(small.resize((160, 160), Image.NEAREST), "what the model sees: 8 × 8 pixels")
        b.image(heat.resize((160, 160), Image.NEAREST), "where it looks: what hurts when covered")
    st.caption("By onnxruntime, from the model that NyangTorch trained and exported.")
