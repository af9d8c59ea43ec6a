"""From an image to mien's answer, with numpy and onnxruntime alone, to be ported: python -i answer.py model.onnx.

docs/embed.md says more; docs/embed-vectors.json has what each step makes of images.
"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
manifest = json.loads(session.get_modelmeta().custom_metadata_map["mien.manifest"])
if not manifest.get("outputs"):  # a model without votes
    manifest["outputs"] = {"label": {key: manifest[key] for key in ("classes", "temperature")}}
SIZE, SEEN = manifest["input"]["size_px"], manifest["input"]["crop_px"]  # 48 and 44
RULE = manifest.get("answer") or {}
VOTES = [
    name
    for target in ("votes", "sampled", "majority")
    for name, each in manifest["outputs"].items()
    if each.get("target") == target
]
OUTPUT = RULE.get("output") or (VOTES or list(manifest["outputs"]))[0]
AUGMENT = manifest.get("recipe", {}).get("augment", {})
MIRRORED = AUGMENT.get("flip", True) and not AUGMENT.get("name")  # training saw mirrored faces


def face_crop(rgb, left, top, width, height, eyes=None, mouth=None, margin=0.94):
    """Crop uint8 (H, W, 3) by a box and, as (x, y), the points between the eyes and between the mouth's corners."""
    exact = margin * max(width, height)
    x, y = left + width / 2, top + height / 2
    if eyes is not None:  # where eyes and mouth are in FER2013's images
        exact = (exact * np.hypot(mouth[0] - eyes[0], mouth[1] - eyes[1]) / 0.406) ** 0.5
        x, y = (eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2 - 0.085 * exact
    side = max(round(exact), 1)  # round: halves go to the even neighbour
    left, top = round(x - side / 2), round(y - side / 2)
    red, green, blue = rgb.astype(int).transpose(2, 0, 1)
    grey = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
    if eyes is not None:  # a face that is tilted by 15 degrees or more is turned level
        x, y = (eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2
        tilt = np.arctan2(eyes[0] - x, y - eyes[1])
        if abs(tilt) >= np.radians(15):
            return resized(resized(turned(grey, left - x, top - y, side, x, y, tilt)).T).T.astype(np.uint8)
    rows = np.clip(np.arange(top, top + side), 0, len(grey) - 1)  # beyond the border its pixels repeat
    columns = np.clip(np.arange(left, left + side), 0, grey.shape[1] - 1)
    return resized(resized(grey[rows[:, None], columns]).T).T.astype(np.uint8)  # across, then down


def turned(grey, left, top, side, x, y, tilt):
    """The square, at most 384 pixels wide, bilinear between the centres of pixels."""
    steps = (np.arange(min(side, 384)) + 0.5) * side / min(side, 384)
    across, down = left + steps, (top + steps)[:, None]
    columns = np.clip(x + np.cos(tilt) * across - np.sin(tilt) * down - 0.5, 0, grey.shape[1] - 1)
    rows = np.clip(y + np.sin(tilt) * across + np.cos(tilt) * down - 0.5, 0, grey.shape[0] - 1)
    first, above = columns.astype(int), rows.astype(int)
    last, below = np.minimum(first + 1, grey.shape[1] - 1), np.minimum(above + 1, grey.shape[0] - 1)
    upper = grey[above, first] * (1 - columns + first) + grey[above, last] * (columns - first)
    lower = grey[below, first] * (1 - columns + first) + grey[below, last] * (columns - first)
    return np.floor(upper * (1 - rows + above) + lower * (rows - above) + 0.5)


def resized(grey):
    """Lanczos's filter, along rows: three new pixels on both sides."""
    scale = grey.shape[1] / SIZE
    centres = (np.arange(SIZE) + 0.5) * scale
    distances = (np.arange(grey.shape[1]) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.where(abs(distances) < 3, np.sinc(distances) * np.sinc(distances / 3), 0)
    return np.clip(np.floor(grey @ (weights / weights.sum(axis=1, keepdims=True)).T + 0.5), 0, 255)


def logits_of(crop):
    """The logits of each output, by its name."""
    start = (SIZE - SEEN) // 2
    centre = crop[start : start + SEEN, start : start + SEEN].astype(np.float32)
    images = (centre / 255 - manifest["input"]["mean"]) / manifest["input"]["std"]
    names = ["logits" if at == 0 else f"logits_{name}" for at, name in enumerate(manifest["outputs"])]
    rows = session.run(names, {"images": images[None, None].astype(np.float32)})
    return {name: row[0] for name, row in zip(manifest["outputs"], rows, strict=True)}


def probabilities_of(logits, output):
    scaled = logits / manifest["outputs"][output]["temperature"]
    powers = np.exp((scaled - scaled.max()).astype(np.float64))
    return powers / powers.sum()


def answer_of(shares):
    """The default answer, from the probabilities of OUTPUT: (name, alternatives, all probabilities)."""
    classes = manifest["outputs"][OUTPUT]["classes"]
    if not RULE:
        return decide(dict(zip(classes, shares, strict=True)))
    is_expression = np.array([name not in ("unknown", "not-a-face") for name in classes])
    weights = np.array([RULE.get("weights", {}).get(name, 1) for name in classes])
    shares = shares + 1e-12
    weighted = np.where(is_expression, shares * weights / np.array(RULE["prior"]) ** RULE["strength"], 0)
    weighted *= shares[is_expression].sum() / weighted.sum()
    values = np.where(is_expression, weighted, shares)
    kept = {name: value for name, value in zip(classes, values, strict=True) if name != "unknown"}
    total = sum(kept.values())
    return decide({name: value / total for name, value in kept.items()})


def decide(probabilities):
    top = max(probabilities, key=probabilities.get)
    if top == "not-a-face":
        return top, [], probabilities
    ordered = sorted(probabilities, key=probabilities.get, reverse=True)
    near = [name for name in ordered if probabilities[top] - probabilities[name] < RULE.get("margin", 0.1)]
    others = [name for name in near if name not in (top, "unknown", "not-a-face")]
    is_unsure = top == "unknown" or probabilities[top] < RULE.get("unsure_below", 0.5) or len(others) > 2
    is_unsure = VOTES and is_unsure
    return "unsure" if is_unsure else top, others, probabilities


def answer_of_photo(crop):
    """As mien answers of a face in an image: the mean of the crop and its mirror image, if training saw such."""
    views = (crop, crop[:, ::-1]) if MIRRORED else (crop,)
    each = [answer_of(probabilities_of(logits_of(view)[OUTPUT], OUTPUT))[2] for view in views]
    return decide({name: sum(one[name] for one in each) / len(each) for name in each[0]})
