"""Draw a digit and have it read by a model that NyangTorch trained: by the compiled `classify`, or where there is none, by onnxruntime.

demo.nyang and demo.onnx are the same model. Both are written by `cargo run --release --example onnx -- docs/demo`.
"""

import base64
import io
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image, ImageOps

from interactive import text

MODEL, ONNX = text.DOCS / "demo.nyang", text.DOCS / "demo.onnx"
CLASSIFY = Path(os.environ.get("CLASSIFY", text.ROOT / "target/release/examples/classify"))
SHOWN = 160  # the side of a picture on the page, in pixels

HTML = '<canvas width="224" height="224"></canvas><br><button>clear</button>'
CSS = "canvas { background: black; border-radius: 8px; touch-action: none; cursor: crosshair } button { margin-top: 6px }"
JS = """
export default function({ parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas"), pen = canvas.getContext("2d");
  if (canvas.ready) return;
  canvas.ready = true;
  Object.assign(pen, { lineWidth: 30, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
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


def as_drawn(image):
    """An uploaded picture as a drawing: bright on dark, whatever the paper."""
    grey = np.asarray(ImageOps.exif_transpose(image).convert("L"), np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.abs(grey - np.median(border))  # paper is what lies at the border
    return Image.fromarray((255 * np.clip((ink / max(ink.max(), 1) - 0.2) / 0.6, 0, 1)).astype(np.uint8))


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


def by_classify(image):
    """What `classify predict --grad-cam` says: probabilities by name, and its picture of where the evidence is."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "digit.png")
        image.save(file)
        command = [CLASSIFY, "predict", MODEL, file, "--top", "10", "--grad-cam", folder, "--json"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if ran.returncode:
            raise RuntimeError(ran.stderr.strip() or f"{CLASSIFY} ended with exit code {ran.returncode} and said nothing")
        [prediction] = json.loads(ran.stdout.splitlines()[-1])["predictions"]
        evidence = Image.open(Path(folder, "1-digit.png")).convert("RGB")
    return {one["class"]: one["probability"] for one in prediction["top"]}, evidence


@st.cache_resource
def session():
    import onnxruntime

    return onnxruntime.InferenceSession(str(ONNX), providers=["CPUExecutionProvider"])


def probabilities_of(batch):
    """Softmax is in the exported graph, and so is the standardisation: the input is what a picture's bytes are, 0 to 1."""
    run = session()
    return run.run(None, {run.get_inputs()[0].name: batch.astype(np.float32)})[0]


def by_onnx(image):
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
    grey = np.asarray(image) // 3
    return {str(i): float(v) for i, v in enumerate(p)}, Image.fromarray(np.stack([np.maximum(heat, grey), grey, grey], -1))


WAYS = {
    "the compiled `classify`": (
        by_classify,
        "where the evidence is: Grad-CAM",
        "By `classify predict docs/demo.nyang --grad-cam`, the compiled program. Without it, onnxruntime answers from demo.onnx, the same model.",
    ),
    "onnxruntime": (
        by_onnx,
        "where it looks: what hurts when covered",
        "By onnxruntime, from demo.onnx, which NyangTorch trained and exported. For Grad-CAM by the compiled program, run "
        "`cargo build --release --example classify` in the repository, or name the program in the environment variable `CLASSIFY`.",
    ),
}


def page():
    st.title("Read a digit")
    left, right = st.columns([1, 2])
    with left:
        image = drawn()
        upload = st.file_uploader("or a picture of one", ["png", "jpg", "jpeg", "bmp"])
        ways = [way for way in WAYS if way == "onnxruntime" or CLASSIFY.exists()]
        way = st.radio("Read by", ways) if len(ways) > 1 else ways[0]
    read, seen, how = WAYS[way]
    if upload:
        try:
            image = as_drawn(Image.open(upload))
        except (OSError, Image.DecompressionBombError) as error:
            st.error(f"{upload.name}: no picture that can be read: {error}")
            return
    small = centred(image) if image else None
    with right:
        if small is None:
            st.info("Draw a digit, large, with one finger or the mouse.")
        else:
            answer(read, small, seen)
        st.caption(how)


def answer(read, small, seen):
    """Shows what is read, or in words why nothing is."""
    with st.spinner("reading …"):
        try:
            probabilities, heat = read(small)
        except (ImportError, OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            st.error(f"The digit could not be read: {error}")
            return
    best = max(probabilities, key=probabilities.get)
    st.subheader(f"{best}, with probability {probabilities[best]:.2f}")
    st.bar_chart(pd.Series(probabilities, name="probability"), horizontal=True, height=280)
    a, b = st.columns(2)
    a.image(small.resize((SHOWN, SHOWN), Image.NEAREST), "what the model sees: 8 × 8 pixels")
    b.image(heat.resize((SHOWN, SHOWN), Image.NEAREST), seen)
