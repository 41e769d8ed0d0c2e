"""Writes crates/nyang-data/tests/goldens/transforms.json: what Pillow, torchvision, albumentations and NumPy make of one small picture.

Each case is a transform as NyangTorch writes it down, with fixed parameters, and the bytes that the other program gives for the same ones.
A step as short as `{"Invert": {}}` is the description that travels in a model file, so the goldens hold that format too.

    pip install torch torchvision albumentations pillow numpy && python xtask/goldens/transforms.py
"""

import colorsys
import io
import json
from pathlib import Path

import albumentations
import cv2
import numpy
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import AugMix, InterpolationMode, RandAugment, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op
from torchvision.transforms.v2 import functional as F

HEIGHT, WIDTH = 18, 24
CASES = []


def picture():
    """Slopes, a disc, an edge and some noise: enough to tell apart what interpolates, mirrors or counts differently."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    noise = numpy.random.default_rng(1).integers(-20, 21, (HEIGHT, WIDTH, 3))
    red = 20 + 9 * x
    green = numpy.where((x - 8) ** 2 + (y - 9) ** 2 < 30, 220, 40 + 6 * y)
    blue = numpy.where(x > 14, 30, 180 - 5 * y)
    return numpy.clip(numpy.stack([red, green, blue], 2) + noise, 0, 255).astype(numpy.uint8)


IMAGE = picture()
PILLOW = Image.fromarray(IMAGE)
TENSOR = torch.from_numpy(IMAGE).permute(2, 0, 1)


def case(program, step, result, within=1, share=1.0):
    """`share` of the values must be within `within`: where a rounded position decides between two pixels, a few may differ."""
    if isinstance(result, torch.Tensor):
        result = result.permute(1, 2, 0).numpy()
    result = numpy.asarray(result)
    if result.ndim == 2:
        result = result[:, :, None]
    assert result.dtype == numpy.uint8, result.dtype
    CASES.append({
        "program": program, "step": step, "size": list(result.shape), "within": within, "share": share,
        "values": numpy.ascontiguousarray(result).tobytes().hex(),
    })


def sizes():
    filters = {"Nearest": Image.NEAREST, "Bilinear": Image.BILINEAR, "Bicubic": Image.BICUBIC, "Lanczos": Image.LANCZOS}
    for name, pillow in filters.items():
        # no odd width for Nearest: the middle of a new pixel would lie between two old ones
        for height, width in ((9, 16 if name == "Nearest" else 7), (31, 40), (18, 5 if name != "Nearest" else 6)):
            step = {"Resize": {"to": {"Exact": {"height": height, "width": width}}, "interpolation": name}}
            # Lanczos swings beyond 0 and 255, and what is cut off between the two passes depends on which comes first
            case("Pillow", step, PILLOW.resize((width, height), pillow), share=0.99 if name == "Lanczos" else 1.0)
    step = {"Resize": {"to": {"Shorter": 11}, "interpolation": "Bilinear"}}
    case("torchvision", step, F.resize(PILLOW, [11], antialias=True))
    case("torchvision", {"CenterCrop": {"height": 7, "width": 11}}, F.center_crop(TENSOR, [7, 11]), within=0)
    case("torchvision", {"CenterCrop": {"height": 21, "width": 5}}, F.center_crop(TENSOR, [21, 5]), within=0)
    modes = {"Edge": "edge", "Reflect": "reflect", "Symmetric": "symmetric", "Constant": "constant"}
    for name, mode in modes.items():
        border = {"Constant": [10.0, 20.0, 30.0]} if name == "Constant" else name
        step = {"Pad": {"top": 3, "right": 5, "bottom": 2, "left": 7, "border": border}}
        fill = [10, 20, 30] if name == "Constant" else 0
        case("torchvision", step, F.pad(TENSOR, [7, 3, 5, 2], fill=fill, padding_mode=mode), within=0)


def tones():
    for bits in (1, 4, 7):
        case("torchvision", {"Posterize": {"bits": bits}}, F.posterize(TENSOR, bits), within=0)
    for threshold in (0.0, 100.0, 127.5):
        case("torchvision", {"Solarize": {"threshold": threshold}}, F.solarize(PILLOW, threshold), within=0)
    case("torchvision", {"Invert": {}}, F.invert(TENSOR), within=0)
    case("torchvision", {"Equalize": {}}, F.equalize(TENSOR), within=0)
    case("torchvision", {"AutoContrast": {}}, F.autocontrast(TENSOR))
    for brightness, contrast in ((0.2, 0.3), (-0.15, -0.4)):
        transform = albumentations.RandomBrightnessContrast((brightness,) * 2, (contrast,) * 2, p=1)
        step = {"BrightnessContrast": {"brightness": [brightness] * 2, "contrast": [contrast] * 2}}
        case("albumentations", step, transform(image=IMAGE)["image"])


def shifted_hsv(hue, saturation, value):
    """The formula with Python's own colour model, one pixel after the other."""
    out = numpy.empty_like(IMAGE)
    clip = lambda v: min(max(v, 0.0), 1.0)
    for index in numpy.ndindex(HEIGHT, WIDTH):
        h, s, v = colorsys.rgb_to_hsv(*(IMAGE[index] / 255))
        rgb = colorsys.hsv_to_rgb((h + hue / 180) % 1.0, clip(s + saturation / 255), clip(v + value / 255))
        out[index] = numpy.round(numpy.array(rgb) * 255)
    return out


def colours():
    case("Pillow", {"Grayscale": {"channels": 1}}, PILLOW.convert("L"), within=0)
    case("torchvision", {"Grayscale": {"channels": 3}}, F.rgb_to_grayscale(PILLOW, 3), within=0)
    neutral = {"brightness": [1.0, 1.0], "contrast": [1.0, 1.0], "saturation": [1.0, 1.0], "hue": [0.0, 0.0]}
    jitter = lambda **change: {"ColorJitter": neutral | {name: [value] * 2 for name, value in change.items()}}
    for factor in (0.0, 0.4, 1.7):
        case("torchvision", jitter(brightness=factor), F.adjust_brightness(TENSOR, factor))
        case("torchvision", jitter(contrast=factor), F.adjust_contrast(TENSOR, factor))
        case("torchvision", jitter(saturation=factor), F.adjust_saturation(TENSOR, factor))
    for turn in (-0.5, -0.1, 0.3):
        case("torchvision", jitter(hue=turn), F.adjust_hue(TENSOR, turn))
    for hue, saturation, value in ((20.0, 30.0, 20.0), (-75.0, -60.0, -15.0)):
        step = {"HueSaturation": {"hue": [hue] * 2, "saturation": [saturation] * 2, "value": [value] * 2}}
        case("Python's colorsys", step, shifted_hsv(hue, saturation, value))


def places():
    """Pillow truncates bilinear values where we round, and finds nearest pixels with 16 binary digits."""
    modes = {"Nearest": InterpolationMode.NEAREST, "Bilinear": InterpolationMode.BILINEAR}
    for name, mode in modes.items():
        near = {"within": 0, "share": 0.995} if name == "Nearest" else {"within": 1}
        for degrees, fill in ((23.0, [0.0]), (-101.0, [200.0, 100.0, 50.0])):
            step = {"Rotate": {"degrees": [degrees] * 2, "interpolation": name, "border": {"Constant": fill}}}
            case("torchvision", step, F.rotate(PILLOW, degrees, mode, fill=[int(v) for v in fill * (3 // len(fill))]), **near)
        for degrees, shift, scale, shear in ((0, (3, -2), 1.0, (0, 0)), (15, (0, 0), 1.3, (0, 0)), (-40, (2, 4), 0.7, (12, -7)), (0, (0, 0), 1, (31, 0))):
            step = {"Affine": {
                "degrees": [degrees] * 2, "translate_x": [shift[0] / WIDTH] * 2, "translate_y": [shift[1] / HEIGHT] * 2,
                "scale": [scale] * 2, "shear_x": [shear[0]] * 2, "shear_y": [shear[1]] * 2,
                "interpolation": name, "border": {"Constant": [128.0]}}}
            result = F.affine(PILLOW, degrees, list(shift), scale, list(shear), mode, fill=[128] * 3)
            case("torchvision", step, result, **near)
    for turns in (1, 2, 3):
        step = {"Rotate": {"degrees": [90.0 * turns] * 2, "interpolation": "Nearest", "border": {"Constant": [0.0]}}}
        square = numpy.rot90(IMAGE[:, 3:21], turns)  # only the square in the middle stays in sight
        result = numpy.zeros_like(IMAGE)
        result[:, 3:21] = square
        if turns == 2:
            result = numpy.rot90(IMAGE, 2)
        case("NumPy", step, result, within=0)


def neighbours():
    for size, sigma in ((3, 0.5), (5, 1.3), (15, 4.0)):
        case("torchvision", {"GaussianBlur": {"size": size, "sigma": [sigma] * 2}}, F.gaussian_blur(TENSOR, [size, size], [sigma, sigma]))
    for factor in (0.0, 0.5, 1.8):
        case("torchvision", {"Sharpen": {"factor": [factor] * 2}}, F.adjust_sharpness(TENSOR, factor))
    for quality, within in ((95, 3), (50, 4), (15, 8)):
        file = io.BytesIO()
        PILLOW.save(file, "JPEG", quality=quality, subsampling=0)
        # encoders round cosines and colours in their own ways, and where a coefficient lies between two steps they take another one
        case("Pillow", {"JpegCompression": {"quality": [quality] * 2}}, numpy.asarray(Image.open(file)), within=within, share=0.95)


def policies():
    """torchvision's operations at some magnitudes, and its tables of magnitudes."""
    operations, magnitudes = [], {}
    for op, values in {
        "ShearX": (0.3, -0.99), "ShearY": (0.3, -0.99), "TranslateX": (5.7, -9.2), "TranslateY": (5.7, -9.2), "Rotate": (30.0, -101.0),
        "Brightness": (0.5, -0.9), "Color": (0.5, -0.9), "Contrast": (0.5, -0.9), "Sharpness": (0.5, -0.9), "Posterize": (5.0, 2.0),
        "Solarize": (140.25,), "AutoContrast": (0.0,), "Equalize": (0.0,), "Identity": (0.0,),
    }.items():
        for magnitude in values:
            result = numpy.asarray(_apply_op(PILLOW, op, magnitude, InterpolationMode.NEAREST, [0, 0, 0]))
            operations.append({"op": op, "magnitude": magnitude, "size": list(result.shape), "values": result.tobytes().hex()})
    size = (HEIGHT, WIDTH)
    spaces = {"RandAugment": RandAugment()._augmentation_space(31, size), "TrivialAugmentWide": TrivialAugmentWide()._augmentation_space(31),
              "AugMix": AugMix()._augmentation_space(10, size)}
    for policy, space in spaces.items():
        magnitudes[policy] = {op: {"signed": signed, "values": [float(f"{v:.7g}") for v in values.reshape(-1).tolist()]}
                              for op, (values, signed) in space.items()}
    return operations, magnitudes


def main():
    sizes()
    places()
    neighbours()
    tones()
    colours()
    versions = {"Pillow": PIL.__version__, "torchvision": torchvision.__version__, "albumentations": albumentations.__version__,
                "cv2": cv2.__version__, "NumPy": numpy.__version__}
    path = Path(__file__).parents[2] / "crates/nyang-data/tests/goldens/transforms.json"
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in CASES)
    operations, magnitudes = policies()
    joined = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in operations)
    picture = json.dumps({"size": list(IMAGE.shape), "values": IMAGE.tobytes().hex()}, separators=(",", ":"))
    path.write_text(f'{{"versions":{json.dumps(versions)},\n"picture":{picture},\n"cases":[\n{lines}\n],\n"operations":[\n{joined}\n],\n"magnitudes":{json.dumps(magnitudes, separators=(",", ":"))}}}\n')
    print(f"{len(CASES)} cases, {path.stat().st_size} bytes")


main()
