"""Many pictures from one: what the transforms do, on a picture of the visitor's."""

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps


def drawn():
    """A picture to begin with: a house under a sun."""
    image = Image.new("RGB", (160, 160), "#9fd3f5")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 110, 160, 160), fill="#6ab04c")
    draw.rectangle((45, 70, 105, 125), fill="#e9c46a")
    draw.polygon([(38, 72), (75, 35), (112, 72)], fill="#b5483a")
    draw.rectangle((68, 92, 84, 125), fill="#5d4037")
    draw.ellipse((120, 12, 148, 40), fill="#ffe066")
    return image


def flipped(image, rng):
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def cropped(image, rng):
    """torchvision's RandomResizedCrop: a piece of 25 to 100 % of the area, brought to the old size."""
    width, height = image.size
    side = np.sqrt(rng.uniform(0.25, 1)), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)) / 2)
    w, h = min(int(width * side[0] * side[1]), width), min(int(height * side[0] / side[1]), height)
    x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    return image.crop((x, y, x + w, y + h)).resize((width, height), Image.BILINEAR)


def rotated(image, rng):
    return image.rotate(rng.uniform(-25, 25), Image.BILINEAR)


def coloured(image, rng):
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(rng.uniform(0.6, 1.4))
    return image


def erased(image, rng):
    pixels = np.array(image)
    h, w = (int(n * rng.uniform(0.15, 0.4)) for n in pixels.shape[:2])
    y, x = rng.integers(0, pixels.shape[0] - h + 1), rng.integers(0, pixels.shape[1] - w + 1)
    pixels[y : y + h, x : x + w] = 0
    return Image.fromarray(pixels)


def noisy(image, rng):
    pixels = np.array(image, float)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8))


TRANSFORMS = {
    "RandomResizedCrop": cropped,
    "HorizontalFlip": flipped,
    "Rotate": rotated,
    "ColorJitter": coloured,
    "GaussNoise": noisy,
    "RandomErasing": erased,
}


def page():
    st.title("Augmentation")
    st.markdown(
        "Each epoch the model sees every picture changed at random, as long as its class stays what it is. In NyangTorch the random numbers come "
        "from (seed, epoch, index), so the same run gives the same pictures. All transforms with pictures: [transforms](/transforms)."
    )
    upload = st.file_uploader("A picture of yours", ["png", "jpg", "jpeg", "webp", "bmp"])
    try:
        image = ImageOps.exif_transpose(Image.open(upload)).convert("RGB") if upload else drawn()
    except OSError as error:
        st.error(f"This is no picture that can be read: {error}")
        return
    image.thumbnail((224, 224))
    chosen = st.multiselect("Transforms, in this order", TRANSFORMS, default=["RandomResizedCrop", "HorizontalFlip", "ColorJitter"])
    epoch = st.slider("Epoch", 1, 20, 1)
    columns = st.columns(6)
    columns[0].image(image, "as it is")
    for index in range(11):
        rng = np.random.default_rng([42, epoch, index])
        changed = image
        for name in chosen:
            changed = TRANSFORMS[name](changed, rng)
        columns[(index + 1) % 6].image(changed, f"version {index + 1}")
