"""Train one network that is to find faces as mien's two do, in less time and a sixth of the bytes.

    python release/train_detector.py label DATA FACES... --without kept_aside.txt --without-copies PHOTOS
    python release/train_detector.py clear DATA BACKGROUNDS...
    python release/train_detector.py train DATA --steps 60000   # goes on where it stopped; --workers 14 beside a GPU
    python release/train_detector.py export DATA detector.onnx

DATA is a folder outside the repository: small copies of the photographs, what the two networks say of them, and a
checkpoint. FACES are folders of photographs of one face: FairFace (CC BY 4.0), muxspace facial_expressions
(Apache-2.0), faker-js assets-person-portrait (CC0), chandrikadeb7 Face-Mask-Detection (MIT). In those of FairFace a
face is always in the middle. BACKGROUNDS are photographs without people: Debian's packages of wallpapers, and
alexeygrigorev's clothing-dataset-small. Files whose SHA-256 is listed, and near copies of them and of PHOTOS, are left
out. Each scene is drawn anew: faces of 8 to 105 px, turned, darkened, covered and blurred, on a background. A
photograph is to be searched in copies of 80, 160, 320 and 640 pixels, so larger faces need not be found.

The trunk starts from the weights of face-api's tiny face detector (MIT); its first two convolutions stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mien.faces import network as teachers

SIDE, BATCH, KEPT, USES = 160, 32, 4000, 4
"""Side of a scene; scenes in a step; scenes in memory; how often each is used on average."""

STRIDES = (8, 16)
SIZES = ((6, 30), (22, 110))
"""Sizes of faces for each stride (root of width times height) that its cells answer for."""

CHANNELS = (16, 32, 64, 128, 256)
NECK = 64
MEAN = (117.001, 114.697, 97.404)
"""Means that the tiny face detector subtracts from red, green and blue."""

DOUBTFUL, SURE = 0.2, 0.45
"""Least scores of the two networks: below the first there is no face, from the second on there is one."""

NEAR_COPY_BITS = 8
MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks in a mirrored face."""

BILINEAR = Image.Resampling.BILINEAR


def pictures(folders: list[Path]) -> list[Path]:
    """All images in these folders, and in those inside."""
    endings = {".jpg", ".jpeg", ".png", ".webp"}
    return sorted(file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in endings)


def opened(path: Path, longest: int) -> Image.Image:
    """A photograph in RGB, at most so many pixels wide and high."""
    file = Image.open(path)
    file.draft("RGB", (longest, longest))
    image = file.convert("RGB")
    image.thumbnail((longest, longest), BILINEAR)
    return image


def difference_hash(image: Image.Image) -> np.ndarray:
    """64 bits that near copies share."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=int)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def label(data: Path, folders: list[Path], without: Path | None, copies: Path | None) -> None:
    """Append what the two networks find to faces.jsonl: per photograph boxes, scores and landmarks, in its copy."""
    teacher, files = teachers.NetworkDetector(), pictures(folders)
    refused = set(without.read_text().split()) if without else set()
    left_out = pictures([copies]) if copies else []
    left_out += [file for file in files if refused and hashlib.sha256(file.read_bytes()).hexdigest() in refused]
    hashes = np.array([difference_hash(opened(file, 256)) for file in left_out]).reshape(-1, 64)
    listed = data / "faces.jsonl"
    known = {json.loads(line)["path"] for line in listed.open()} if listed.exists() else set()
    (data / "faces").mkdir(parents=True, exist_ok=True)
    with listed.open("a", encoding="utf-8") as stream:
        for at in np.random.default_rng(0).permutation(len(files)):
            image = opened(files[at], 256)
            different = (hashes != difference_hash(image)).sum(axis=1)
            if str(files[at]) in known or (different <= NEAR_COPY_BITS).any():
                continue
            copy = f"faces/{at:06}.jpg"
            image.save(data / copy, quality=92)
            found = {"path": str(files[at]), "copy": copy, "faces": taught(teacher, np.asarray(image))}
            stream.write(json.dumps(found) + "\n")


def taught(teacher: teachers.NetworkDetector, rgb: np.ndarray) -> list[dict]:
    """Faces in several copies of an image mirrored at its border: the mean of it and of its mirror image."""
    border = round(max(rgb.shape) / 4)
    around = np.pad(rgb, ((border, border), (border, border), (0, 0)), mode="symmetric")
    padded, mirrored = Image.fromarray(around), Image.fromarray(np.ascontiguousarray(around[:, ::-1]))
    looks = [teacher._look(padded, side).boxes for side in (128, 224, 352)]
    boxes, points = teacher._checked(padded, looks, DOUBTFUL)
    wide = padded.width
    for row, landmarks in zip(boxes, points, strict=True):
        again = np.array([[wide - row[0] - row[2], *row[1:5]]])
        found, others = teacher._checked(mirrored, [again], 0.0)
        if len(found) and abs(found[0, 2] / row[2] - 1) < 0.3:
            row[:4] = (row[:4] + np.array([wide - found[0, 0] - found[0, 2], *found[0, 1:4]])) / 2
            other = others[0][MIRRORED]
            landmarks[:] = (landmarks + np.stack([wide - other[:, 0], other[:, 1]], axis=1)) / 2
    boxes[:, :2] -= border
    rows = zip(boxes.round(1).tolist(), boxes[:, 4].tolist(), (points - border).round(1).tolist(), strict=True)
    return [{"box": row[:4], "score": score, "points": marks} for row, score, marks in rows]


def clear(data: Path, folders: list[Path]) -> None:
    """Copy the photographs in which the two networks find nothing, not even something doubtful."""
    teachers.MIN_SCORE = teachers.CLOSE_UP_SCORE = DOUBTFUL
    teacher = teachers.NetworkDetector()
    (data / "backgrounds").mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(pictures(folders)):
        image, copy = opened(file, 384), data / f"backgrounds/{number:06}.jpg"
        if not copy.exists() and not teacher.detect(np.asarray(image)):
            image.save(copy, quality=90)


class Scenes(IterableDataset):
    """Draws scenes without end: an image uint8 (SIDE, SIDE, 3), and what each cell should answer.

    A face is left, top, width, height, ten coordinates of landmarks (NaN where unknown), and 1, or 0 where it counts
    neither way.
    """

    def __init__(self, data: Path, seed: int) -> None:
        self.data, self.seed, self.random = data, seed, np.random.default_rng(seed)
        self.backgrounds = pictures([data / "backgrounds"])
        groups: dict[str, list[dict]] = {}
        for line in (data / "faces.jsonl").open():
            photo = json.loads(line)
            has_face = "fair_face" in photo["path"]
            sure = [face for face in photo["faces"] if face["score"] >= SURE]
            if len(photo["faces"]) == len(sure) == 1 or (has_face and not photo["faces"]):
                # By sources, which are drawn by the roots of their sizes.
                groups.setdefault(photo["path"].split("raw/")[-1].split("/")[0], []).append(photo)
        self.groups = [groups[name] for name in sorted(groups)]
        self.shares = np.sqrt([len(group) for group in self.groups])
        self.shares /= self.shares.sum()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Each scene is drawn anew and used a few times."""
        worker = get_worker_info()
        self.random = np.random.default_rng([self.seed, worker.id if worker else 0])
        pool: list = []
        for number in itertools.count():
            if number % USES == 0 or len(pool) < BATCH * 4:
                pixels, faces = self.draw()
                pool.append((pixels, *answers_to(faces)))
                if len(pool) > KEPT // (worker.num_workers if worker else 1):
                    pool[self.random.integers(len(pool) - 1)] = pool.pop()
            yield pool[self.random.integers(len(pool))]

    def background(self, side: int) -> Image.Image:
        """A square part of a photograph, or now and then a colour."""
        draw = self.random
        if draw.random() < 0.04:
            return Image.new("RGB", (side, side), tuple(draw.integers(0, 256, 3).tolist()))
        image = opened(self.backgrounds[draw.integers(len(self.backgrounds))], 384)
        part = min(image.size) * draw.uniform(0.35, 1)
        left, top = draw.uniform(0, image.width - part), draw.uniform(0, image.height - part)
        return image.resize((side, side), BILINEAR, (left, top, left + part, top + part), 2)

    def face(self) -> tuple[Image.Image, np.ndarray, np.ndarray]:
        """A photograph with its face's box (4,) and landmarks (5, 2), mirrored half the time."""
        group = self.groups[self.random.choice(len(self.groups), p=self.shares)]
        photo = group[self.random.integers(len(group))]
        image = opened(self.data / photo["copy"], 256)
        middle = {"box": np.array([0.27, 0.2, 0.46, 0.6]) * (image.size * 2)}
        face = photo["faces"][0] if photo["faces"] else middle
        box, points = np.array(face["box"]), np.array(face.get("points", np.full((5, 2), np.nan)))
        if self.random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            box[0] = image.width - box[0] - box[2]
            points = np.stack([image.width - points[:, 0], points[:, 1]], axis=1)[MIRRORED]
        return image, box, points

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """One scene: its pixels and its faces (N, 15)."""
        draw = self.random
        faces: list[list[float]] = []

        def between(low: float, high: float, count: int | None = None) -> np.ndarray:
            return np.exp(draw.uniform(math.log(low), math.log(high), count))

        canvas = self.background(SIDE)
        for _ in range(draw.integers(0, 3)):
            self.paste(canvas, faces, self.background(64), np.array([12, 11, 40, 42]), None, float(between(8, 64)))
        kind = draw.choice(["none", "large", "crowd", "some"], p=[0.06, 0.32, 0.2, 0.42])
        sizes: Any = {
            "none": [],
            "large": between(36, 105, 1),
            "crowd": between(8, 28) * draw.uniform(0.8, 1.25, draw.integers(4, 12)),
            "some": between(8, 64, int(draw.integers(1, 5))),
        }[kind]
        for size in sorted(sizes, reverse=True):
            self.paste(canvas, faces, *self.face(), float(size))
        return self.changed(canvas), np.array(faces, dtype=np.float32).reshape(-1, 15)

    def paste(self, canvas, faces, image, box, points, size) -> None:
        """Paste a face so large into the canvas, if there is room, or something else (no points)."""
        draw = self.random
        # So much of the photograph around the face, in its sides.
        around = draw.choice([draw.uniform(0.1, 0.3), draw.uniform(0.3, 1.2)])
        if not faces and draw.random() < 0.3:
            around = 3.0
        start = np.maximum(box[:2] - around * box[2:], 0)
        end = np.minimum(box[:2] + (1 + around) * box[2:], image.size)
        if min(end - start) < 4:
            return
        new = np.maximum(np.round((end - start) * size / math.sqrt(box[2] * box[3])), 3).astype(int)
        patch = image.resize(tuple(new.tolist()), BILINEAR, (*start, *end), 2)
        scale = new / (end - start)
        low, extent = (box[:2] - start) * scale, box[2:] * scale
        if draw.random() < 0.2:
            self.cover(patch, low, extent)
        if draw.random() < 0.3:
            factor = np.clip(draw.uniform(0.2, 1.3) * draw.uniform(0.85, 1.15, 3), 0, 1.3)
            patch = Image.fromarray(np.minimum(np.asarray(patch) * factor, 255).astype(np.uint8))
        middle, mask = low + extent / 2, Image.new("L", patch.size, 255)
        if draw.random() < 0.45:
            mask = Image.new("L", patch.size, 0)
            half = extent * draw.uniform(0.62, 0.95, 2)
            ImageDraw.Draw(mask).ellipse((*(middle - half * (1, 1.1)), *(middle + half * (1, 0.95))), fill=255)
            mask = mask.filter(ImageFilter.BoxBlur(float(size * draw.uniform(0, 0.12))))
        spread = draw.choice([4, 14, 35, 180], p=[0.35, 0.4, 0.2, 0.05])
        degrees = draw.uniform(-180, 180) if spread == 180 else draw.normal(0, spread)
        degrees = 0.0 if abs(degrees) < 2 else float(degrees)
        angle = math.radians(degrees)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        if degrees:
            mask, patch = (part.rotate(degrees, BILINEAR, expand=True) for part in (mask, patch))
        middle = turn @ (middle - new / 2) + np.array(patch.size) / 2
        extent = np.sqrt(turn**2 @ extent**2)
        at = draw.uniform(-0.15 * extent, SIDE - 0.85 * extent) if size < 60 else draw.normal((SIDE - extent) / 2, 16)
        corner = np.round(at + extent / 2 - middle).astype(int)
        at, drawn = corner + middle - extent / 2, mask.getbbox()
        if drawn is None or any(hidden(face, corner + drawn[:2], corner + drawn[2:]) > 0.12 for face in faces):
            return
        canvas.paste(patch, tuple(corner.tolist()), mask)
        if points is not None:
            marks = ((points - start) * scale - new / 2) @ turn.T + np.array(patch.size) / 2 + corner
            inside = np.clip(at + extent, 0, SIDE) - np.clip(at, 0, SIDE)
            counts = inside.prod() > 0.65 * extent.prod() and size >= SIZES[0][0]
            faces.append([*at, *extent, *marks.ravel(), float(counts)])

    def cover(self, patch: Image.Image, low: np.ndarray, extent: np.ndarray) -> None:
        """Cover part of a face, as a mask does, a hand, the edge of something, glasses."""
        draw = self.random
        parts = [(0, 0.55, 1, 1.05), (-0.3, -0.2, 0.35, 1.2), (0.65, -0.2, 1.3, 1.2), (0.08, 0.25, 0.92, 0.45)]
        edges = np.reshape(parts[draw.integers(4)], (2, 2)) + draw.normal(0, 0.05, (2, 2))
        start, end = low + extent * edges
        size = tuple(np.maximum(end - start, 1).astype(int).tolist())
        thing = self.background(32).resize(size)
        if draw.random() < 0.6:
            thing = Image.new("RGB", size, tuple(draw.integers(0, 256, 3).tolist()))
        shape = Image.new("L", size, 0)
        ImageDraw.Draw(shape).rounded_rectangle((0, 0, *size), float(draw.uniform(0, 0.5) * min(size)), fill=255)
        patch.paste(thing, tuple(start.astype(int).tolist()), shape)

    def changed(self, canvas: Image.Image) -> np.ndarray:
        """The canvas in another light, blurred, grey, noisy or compressed."""
        draw = self.random
        if draw.random() < 0.15:
            canvas = canvas.filter(ImageFilter.GaussianBlur(float(draw.uniform(0.4, 1.6))))
        if draw.random() < 0.25:
            canvas = canvas.convert("L").convert("RGB")
        pixels = (np.asarray(canvas) / np.float32(255)) ** draw.uniform(0.6, 1.7)
        pixels = pixels * draw.uniform(0.6, 1.25) * draw.uniform(0.9, 1.1, 3)
        if draw.random() < 0.3:
            pixels += draw.normal(0, draw.uniform(0.01, 0.06), pixels.shape)
        pixels = np.clip(pixels * 255, 0, 255).astype(np.uint8)
        if draw.random() < 0.3:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=int(draw.integers(25, 90)))
            pixels = np.array(Image.open(file))
        return pixels


def hidden(face: list[float], low: np.ndarray, high: np.ndarray) -> float:
    """Share of a face's box that an area would cover."""
    shared = np.minimum(high, (face[0] + face[2], face[1] + face[3])) - np.maximum(low, face[:2])
    return float(np.clip(shared, 0, None).prod() / (face[2] * face[3]))


def answers_to(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets of each cell: boxes and landmarks (cells, 14) in pixels; 1, 0 or -1 (either way) (cells,)."""
    every, kinds = [], []
    for stride, (least, most) in zip(STRIDES, SIZES, strict=True):
        count = SIDE // stride
        wanted, kind = np.zeros((count, count, 14), np.float32), np.zeros((count, count), np.float32)
        centres = (np.arange(count) + 0.5) * stride
        for face in sorted(faces, key=lambda face: -face[2] * face[3]):
            size, (x, y) = math.sqrt(face[2] * face[3]), face[:2] + face[2:4] / 2
            away, radius = np.hypot((centres - x)[None], (centres - y)[:, None]), max(0.22 * size, 0.75 * stride)
            if face[14] and least <= size <= most:
                kind[(away <= 1.6 * radius) & (kind == 0)] = -1
                wanted[away <= radius], kind[away <= radius] = face[:14], 1
            elif not face[14] or least / 1.5 <= size <= most * 1.5:
                kind[(away <= max(size / 2, stride)) & (kind == 0)] = -1
        every.append(wanted.reshape(-1, 14))
        kinds.append(kind.ravel())
    return np.concatenate(every), np.concatenate(kinds)


class Network(nn.Module):
    """Pixels float32 (N, 3, H, W), 0..255 -> per stride (N, 15, H / stride, W / stride): odds, box, landmarks."""

    def __init__(self) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(CHANNELS))
        self.first = nn.Conv2d(3, CHANNELS[0], 3)
        self.deep = nn.ModuleList(nn.Conv2d(a, a, 3, padding=1, groups=a, bias=False) for a, _ in pairs)
        self.wide = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
        self.across = nn.ModuleList(normal(a, 1) for a in CHANNELS[-len(STRIDES) :])
        self.heads = nn.ModuleList()
        for _ in STRIDES:
            blocks = [part for _ in range(2) for part in (normal(NECK, 3), normal(NECK, 1), nn.LeakyReLU(0.1))]
            last: Any = nn.Conv2d(NECK, 15, 1)
            # At first few cells have a face.
            last.weight.data *= 0.3
            last.bias.data[0] = -4.0
            self.heads.append(nn.Sequential(*blocks, last))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the outputs of the cells of each stride."""
        with torch.no_grad():
            pixels = (F.pad(pixels, (1, 1, 1, 1)) - pixels.new_tensor(MEAN)[:, None, None]) / 255
            last = F.max_pool2d(F.leaky_relu(self.first(pixels), 0.1), 2)
            last = F.leaky_relu(self.wide[0](self.deep[0](last)), 0.1)
        levels = []
        for deep, wide in zip(self.deep[1:], self.wide[1:], strict=True):
            last = F.leaky_relu(wide(deep(F.max_pool2d(last, 2))), 0.1)
            levels.append(last)
        merged, answers = None, []
        for level, across, head in reversed(list(zip(levels[1:], self.across, self.heads, strict=True))):
            own = across(level)
            merged = F.leaky_relu(own if merged is None else own + F.interpolate(merged, scale_factor=2.0), 0.1)
            answers.append(head(merged))
        return answers[::-1]


def normal(channels: int, side: int) -> nn.Sequential:
    """A convolution with normalization: 1 x 1 to NECK channels, or one of each channel."""
    groups = channels if side > 1 else 1
    convolution = nn.Conv2d(channels, NECK, side, padding=side // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(NECK, momentum=0.03))


def started() -> Network:
    """A network whose trunk has the weights of the first of mien's two."""
    file = teachers.network_files()[0]
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer}

    def weight(name: str) -> torch.Tensor:
        values = stored[f"{name}/bytes"].astype(np.float64) * stored[f"{name}/scale"] + stored[f"{name}/min"]
        return torch.tensor(values, dtype=torch.float32)

    network = Network()
    filters = weight("conv0/filters").permute(0, 3, 1, 2).contiguous()
    network.first.weight.data = filters * 255
    shift = torch.tensor(stored["conv0/shift"]) + filters.sum(dim=(2, 3)) @ torch.tensor(MEAN)
    network.first.bias = nn.Parameter(shift)
    for layer, (deep, wide) in enumerate(zip(network.deep, network.wide, strict=True), start=1):
        deep.weight.data = weight(f"conv{layer}/depthwise_filter")
        wide.weight.data, wide.bias.data = weight(f"conv{layer}/pointwise_filter"), weight(f"conv{layer}/bias")
    return network


def decoded(answers: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Odds (N, cells), left, top, right, bottom (N, cells, 4) and landmarks (N, cells, 5, 2) in pixels."""
    odds, edges, points = [], [], []
    for answer, stride in zip(answers, STRIDES, strict=True):
        rows, columns = (torch.arange(length, device=answer.device) + 0.5 for length in answer.shape[2:])
        centres = torch.cartesian_prod(rows, columns).flip(1)[None]
        flat = answer.flatten(2).transpose(1, 2)
        middle, half = centres + flat[..., 1:3], flat[..., 3:5].clamp(-4, 4).exp() / 2
        odds.append(flat[..., 0])
        edges.append(torch.cat([middle - half, middle + half], dim=-1) * stride)
        points.append((centres[:, :, None] + flat[..., 5:].unflatten(-1, (5, 2))) * stride)
    return torch.cat(odds, 1), torch.cat(edges, 1), torch.cat(points, 1)


def losses(answers: list[torch.Tensor], wanted: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """Quality focal loss of scores (Li et al. 2020), generalized IoU of boxes, landmarks in sizes of a face."""
    odds, edges, points = decoded(answers)
    positive = kinds == 1
    face = wanted[positive]
    own, true = edges[positive], torch.cat([face[:, :2], face[:, :2] + face[:, 2:4]], dim=1)
    area, hull = (
        (torch.minimum(own[:, 2:], true[:, 2:]) - torch.maximum(own[:, :2], true[:, :2])).clamp(min=0).prod(dim=1),
        (torch.maximum(own[:, 2:], true[:, 2:]) - torch.minimum(own[:, :2], true[:, :2])).prod(dim=1),
    )
    both = (own[:, 2:] - own[:, :2]).prod(dim=1) + face[:, 2] * face[:, 3] - area
    quality = torch.zeros_like(odds)
    quality[positive] = (area / both).detach().clamp(min=0.1)
    score = F.binary_cross_entropy_with_logits(odds, quality, reduction="none")
    score = (score * (quality - odds.sigmoid()).abs() ** 2)[kinds >= 0].sum()
    marks, size = face[:, 4:].unflatten(-1, (5, 2)), (face[:, 2] * face[:, 3]).sqrt()[:, None, None]
    seen = torch.isfinite(marks)
    apart = F.smooth_l1_loss((points[positive] / size)[seen], (marks / size)[seen], beta=0.02, reduction="sum") / 10
    parts = torch.stack([2 * score, (1 - area / both + (hull - both) / hull).sum(), 4 * apart])
    return parts / max(int(positive.sum()), 1)


def train(data: Path, steps: int, rate: float, workers: int) -> None:
    """Train up to a step, with a rate that falls over the last third. A checkpoint is written every 250 steps."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    network, mean = started().to(device), Network().to(device)
    mean.load_state_dict(network.state_dict())
    kept = [*network.first.parameters(), *network.deep[0].parameters(), *network.wide[0].parameters()]
    trunk = [*network.deep[1:].parameters(), *network.wide[1:].parameters()]
    new = [*network.across.parameters(), *network.heads.parameters()]
    for parameter in kept:
        parameter.requires_grad_(False)
    optimizer = torch.optim.AdamW([{"params": new}, {"params": trunk}], weight_decay=0.02)
    begun, file = 0, data / "checkpoint.pt"
    if file.exists():
        state = torch.load(file, weights_only=True, map_location=device)
        begun = state["step"]
        for part, name in ((network, "network"), (mean, "mean"), (optimizer, "optimizer")):
            part.load_state_dict(state[name])
    loader = iter(DataLoader(Scenes(data, begun), BATCH, num_workers=workers))
    began, said = time.monotonic(), torch.zeros(3, device=device)
    for step in range(begun + 1, steps + 1):
        pixels, wanted, kinds = (part.to(device) for part in next(loader))
        pixels = pixels.permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        share = min((step - begun) / 100, max(3 * (1 - step / steps), 0.02), 1)
        for group, slower in zip(optimizer.param_groups, (1, 0.4), strict=True):
            group["lr"] = rate * share * slower
        parts = losses(network.train()(pixels), wanted, kinds)
        optimizer.zero_grad()
        parts.sum().backward()
        nn.utils.clip_grad_norm_([*new, *trunk], 5.0)
        optimizer.step()
        for average, own in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
            average.copy_(torch.lerp(own, average, min(0.999, step / (step + 20))) if own.is_floating_point() else own)
        said += parts.detach() / 50
        if step % 50 == 0:
            values = "  ".join(f"{value:.3f}" for value in said.tolist())
            pace = (step - begun) / (time.monotonic() - began)
            sys.stdout.write(f"step {step}: score, box, landmarks {values}; {pace:.2f} steps/s\n")
            sys.stdout.flush()
            said.zero_()
        if step % 250 == 0 or step == steps:
            states: dict[str, Any] = {"network": network, "mean": mean, "optimizer": optimizer}
            state = {name: part.state_dict() for name, part in states.items()}
            torch.save({**state, "step": step}, file.with_suffix(".new"))
            file.with_suffix(".new").replace(file)


class Graph:
    """The network as an ONNX graph, node by node. Weights are stored in 16 bits; onnxruntime widens them at first."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The output's name."""
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: object, kind: type = np.float32) -> str:
        """The name of a stored tensor."""
        self.stored.append(onnx.numpy_helper.from_array(np.asarray(values, dtype=kind), f"c{len(self.stored)}"))
        return self.stored[-1].name

    def weight(self, values: torch.Tensor) -> str:
        """A weight in 32 bits."""
        return self.node("Cast", self.constant(values.detach().numpy(), np.float16), to=onnx.TensorProto.FLOAT)

    def active(self, last: str) -> str:
        """A leaky ReLU."""
        return self.node("LeakyRelu", last, alpha=0.1)

    def convolution(self, last: str, layer: Any) -> str:
        """A convolution, or one and its normalization as one."""
        plain = layer if isinstance(layer, nn.Conv2d) else layer[0]
        weight, bias = plain.weight, plain.bias
        if layer is not plain:
            factor = layer[1].weight / (layer[1].running_var + layer[1].eps).sqrt()
            weight, bias = weight * factor[:, None, None, None], layer[1].bias - layer[1].running_mean * factor
        side = plain.kernel_size[0]
        inputs = [last, self.weight(weight), *([] if bias is None else [self.weight(bias)])]
        return self.node("Conv", *inputs, kernel_shape=[side] * 2, pads=[side // 2] * 4, group=plain.groups)

    def faces(self, last: str, stride: int) -> str:
        """A level's answers as score, left, top, width, height and five points in pixels: (15, cells)."""
        bounds = [0, 1, 3, 5, 7, 9, 11, 13, 15]
        sizes = self.constant(np.diff(bounds), np.int64)
        names = [f"part{stride}_{at}" for at in bounds[:-1]]
        self.nodes.append(onnx.helper.make_node("Split", [last, sizes], names, name=names[0], axis=1))
        odds, middle, size, *points = names
        ones = self.node("Exp", self.node("Mul", odds, self.constant(0)))
        steps = [self.node("CumSum", ones, self.constant(axis, np.int64)) for axis in (3, 2)]
        centres = self.node("Sub", self.node("Concat", *steps, axis=1), self.constant(0.5))
        size = self.node("Exp", size)
        corner = self.node("Sub", self.node("Add", centres, middle), self.node("Mul", size, self.constant(0.5)))
        places = self.node("Concat", corner, size, *(self.node("Add", centres, point) for point in points), axis=1)
        places = self.node("Mul", places, self.constant(stride))
        whole = self.node("Concat", self.node("Sigmoid", odds), places, axis=1)
        return self.node("Reshape", whole, self.constant([15, -1], np.int64))


def export(data: Path, out: Path) -> None:
    """Write the mean of the weights.

    Input ``pixels``: uint8 (height, width, 4), RGBA as a canvas gives it, both sides multiples of 16.
    Output ``faces``: float32 (15, cells): score, left, top, width, height, and five points, in pixels.
    """
    graph, network = Graph(), Network().eval()
    first: Any = network.first
    network.load_state_dict(torch.load(data / "checkpoint.pt", weights_only=True, map_location="cpu")["mean"])
    # The bytes as they lie, as one plane four times as wide: a filter of twelve columns in steps of four.
    rows = graph.node("Flatten", graph.node("Cast", "pixels", to=onnx.TensorProto.FLOAT), axis=1)
    plane = graph.node("Unsqueeze", rows, graph.constant([0, 1], np.int64))
    weight = first.weight / 255
    shift = first.bias - weight.sum(dim=(2, 3)) @ torch.tensor(MEAN)
    filters = F.pad(weight.permute(0, 2, 3, 1), (0, 1)).reshape(CHANNELS[0], 1, 3, 12)
    how: Any = {"kernel_shape": [3, 12], "strides": [1, 4], "pads": [1, 4, 1, 4]}
    last = graph.active(graph.node("Conv", plane, graph.weight(filters), graph.weight(shift), **how))
    levels = []
    for deep, wide in zip(network.deep, network.wide, strict=True):
        last = graph.node("MaxPool", last, kernel_shape=[2, 2], strides=[2, 2])
        last = graph.active(graph.convolution(graph.convolution(last, deep), wide))
        levels.append(last)
    merged, answers = "", []
    parts: Any = zip(levels[2:], network.across, network.heads, STRIDES, strict=True)
    for level, across, head, stride in reversed(list(parts)):
        own = graph.convolution(level, across)
        if merged:
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
            own = graph.node("Add", own, graph.node("Resize", merged, "", graph.constant([1, 1, 2, 2]), **how))
        last = merged = graph.active(own)
        for layer in head:
            last = graph.active(last) if isinstance(layer, nn.LeakyReLU) else graph.convolution(last, layer)
        answers.append(graph.faces(last, stride))
    graph.nodes.append(onnx.helper.make_node("Concat", answers[::-1], ["faces"], name="faces", axis=1))
    pixels = onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["height", "width", 4])
    faces = onnx.helper.make_tensor_value_info("faces", onnx.TensorProto.FLOAT, [15, "cells"])
    whole = onnx.helper.make_graph(graph.nodes, "face detector", [pixels], [faces], graph.stored)
    # Versions that onnxruntime-web and every onnxruntime that mien supports can load.
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(whole, producer_name="mien", ir_version=8, opset_imports=opset)
    onnx.checker.check_model(model, full_check=True)
    out.write_bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["label", "clear", "train", "export"])
    parser.add_argument("data", type=Path)
    parser.add_argument("paths", type=Path, nargs="*")
    parser.add_argument("--without", type=Path, help="a list of SHA-256")
    parser.add_argument("--without-copies", type=Path, help="a folder of photographs")
    parser.add_argument("--steps", type=int, default=60000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes")
    given = parser.parse_args()
    if given.what == "label":
        label(given.data, given.paths, given.without, given.without_copies)
    elif given.what == "clear":
        clear(given.data, given.paths)
    elif given.what == "train":
        train(given.data, given.steps, given.rate, given.workers)
    else:
        export(given.data, given.paths[0])


if __name__ == "__main__":
    main()
