"""Let ``default`` go on learning from faces of photographs that nobody read, which it and three teachers describe.

    python release/unread.py crops --faces faces.parquet --photos FOLDER --muxspace IMAGES --fairface IMAGES --out DIR
    python release/unread.py targets --data fer2013_dev.parquet --teachers FOLDER --out DIR
    python release/unread.py train --data fer2013_dev.parquet --soft soft.npz --out DIR --run b --seed 11
    python release/unread.py mean --out DIR a b

**crops** finds the first face of each image: those of faces.parquet (image, box, readings), and unread ones of
muxspace/facial_expressions (images/) and of FairFace's training part. FOLDER has readings.csv and kept_aside.txt
(SHA-256). The photographs that these name are cut too, but only to leave out what is nearly the same: **targets** keeps
no unread face whose difference hash, or that of its mirror image, is within 8 of 72 bits of theirs.

**targets** fits one last layer on the features of four networks together (``default`` and three teachers of FER2013
alone: a ResNet-18 and two wide MienNets, docs/lab-notebook.md) on the readings and on FER+ votes, with the loss of
release/photographs.py. By it the unread faces get probabilities; a read one gets the mean of these and its readings.

**train** starts from ``default`` with a third output, a copy of ``perceived``. Half of a batch is FER2013 (0.4 of
labels and votes, 0.6 of soft.npz: six teachers' mean), half are photographs' faces, a quarter of them read. The weights
are an average over steps. ``--start RUN`` goes on from another run of DIR instead.

**mean** adds 0.3 of ``default`` and 0.7 of the mean of the runs, and writes DIR/mean.safetensors: the weights of a run
folder, without the third output, for release/ship.py. As it ran, run a took 2,000 steps and, from there, 2,200 more
(their seeds and the second rate were not kept), and run b is the one above. A step of 128 takes 0.5 to 1 s on a thread.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet  # noqa: TID253
import torch  # noqa: TID253
from photographs import Faces, fitted, shares_of
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.labels import FERPLUS_CLASSES, canonical_class
from mien.base.preprocess import upright_rgb
from mien.base.run_folder import find_run
from mien.data.read import load_dataset
from mien.data.votes import check_votes, vote_probabilities
from mien.faces.face import Box, brightened, crop_faces, square_around, tilt_of
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor
from mien.models.network import MienNet, Network, ResNet
from mien.training import checkpoint

PERCEIVED = FERPLUS_CLASSES
LABELS = 7
OUTPUTS = {"label": slice(0, 7), "perceived": slice(7, 17), "photographs": slice(17, 27)}
CROP_PX, WIDE_PX, SEEN_PX = 48, 64, 44
MEAN, STD = 0.508, 0.255
LOW_BITS = 8
"""Largest distance of two hashes of 72 bits that are nearly the same."""

FAIRFACE_IMAGES, MOST_OF_A_SOURCE = 25_000, 10_000
FACES_OF_FER = 6_000
FER_PART, PHOTOS_PART = 64, 64
READ_SHARE = 0.25
SOFT_SHARE = 0.6
READ_WEIGHT, FER_WEIGHT = 1.0, 0.5

Shares = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


# Crops


def crops(wanted: argparse.Namespace) -> None:
    """Cut the faces of all sources out, at 48 px as the package does and at 64 px a third wider, and write them."""
    reader = FaceReader(Predictor(find_run("fast").model, threads=1))
    wanted.out.mkdir(parents=True, exist_ok=True)
    with (wanted.photos / "readings.csv").open(encoding="utf-8") as file:
        measured = {hash_of(wanted.photos / row["path"]) for row in csv.DictReader(file)}
    left_out = measured | set((wanted.photos / "kept_aside.txt").read_text(encoding="utf-8").split())
    muxspace = sorted(wanted.muxspace.iterdir())
    is_left_out = [hash_of(path) in left_out for path in muxspace]
    table = pyarrow.parquet.read_table(wanted.faces, columns=["image", "box", "readings", "file"]).to_pydict()
    images = [each if isinstance(each, bytes) else each["bytes"] for each in table["image"]]
    keys = ["|".join([file, *pair]) for file, pair in zip(table["file"], table["readings"], strict=True)]
    sources = {
        "read": zip(keys, images, table["box"], strict=True),
        "excluded": of_files(path for path, out in zip(muxspace, is_left_out, strict=True) if out),
        "muxspace": of_files(path for path, out in zip(muxspace, is_left_out, strict=True) if not out),
        "fairface": of_files(sorted(wanted.fairface.iterdir())[:FAIRFACE_IMAGES]),
    }
    for name, items in sources.items():
        found = [(key, *face) for key, content, box in items for face in face_of(reader, content, box)]
        named, wide, own = zip(*found, strict=True)
        np.savez(wanted.out / f"{name}.npz", key=np.array(named), wide=np.stack(wide), crop=np.stack(own))
        sys.stdout.write(f"{name}: {len(found):,} faces\n")


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_files(paths: Iterator[Path] | list[Path]) -> Iterator[tuple[str, bytes, None]]:
    """Name and content of each file, which has no known box."""
    for path in paths:
        yield path.name, path.read_bytes(), None


def face_of(reader: FaceReader, content: bytes, box: list[float] | None) -> list[tuple[Pixels, Pixels]]:
    """The first face of an image, or the one where ``box`` is, as a wide crop and a usual one; empty without any."""
    try:
        rgb = upright_rgb(open_image(content))
    except DataError:
        return []
    for face in reader.detect(rgb):
        left, top, right, bottom = face.box.xyxy
        if box is None or (left < box[0] + box[2] / 2 < right and top < box[1] + box[3] / 2 < bottom):
            square = square_around(face.box, reader.detector.margin, face.landmarks)
            side = round(square.width * WIDE_PX / CROP_PX)
            out = (side - square.width) / 2
            wide = Box(round(square.left - out), round(square.top - out), side, side)
            tilts, light = [tilt_of(face.landmarks)], brightened(rgb)
            return [
                (crop_faces(light, [wide], WIDE_PX, 1, tilts)[0], crop_faces(light, [square], CROP_PX, 1, tilts)[0])
            ]
    return []


# Targets


def targets(wanted: argparse.Namespace) -> None:
    """Describe the unread faces by four networks together, and write all faces with what is to be learned."""
    read, excluded = (np.load(wanted.out / f"{name}.npz") for name in ("read", "excluded"))
    near = np.concatenate([hashes(excluded["crop"]), hashes(excluded["crop"][:, :, ::-1])])
    known = [key.split("|")[0] for key in read["key"]]
    wide, unread = [], []
    for name in ("muxspace", "fairface"):
        source = np.load(wanted.out / f"{name}.npz")
        distance = (72 - (hashes(source["crop"]) @ near.T).max(axis=1)) / 2
        kept = np.flatnonzero((distance > LOW_BITS) & ~np.isin(source["key"], known))[:MOST_OF_A_SOURCE]
        wide.append(source["wide"][kept])
        unread.append(source["crop"][kept])
    data = load_dataset(wanted.data, size_px=CROP_PX).of_split("train")
    some = np.sort(np.random.default_rng(0).permutation(len(data.labels))[:FACES_OF_FER])
    votes = vote_probabilities(check_votes(data))[some]
    networks = [of_default(), *teachers(wanted.teachers)]
    both = [np.stack([features(each, read["crop"]), features(each, read["crop"][:, :, ::-1])], 1) for each in networks]
    fer = [features(each, np.asarray(data.images)[some])[:, np.newaxis] for each in networks]
    rows = [(each.head.weight[OUTPUTS["perceived"]], each.head.bias[OUTPUTS["perceived"]]) for each in networks]
    weights = torch.cat([weight for weight, _ in rows], dim=1) / len(rows)
    bias = torch.stack([each for _, each in rows]).mean(dim=0)
    start = torch.cat([weights, bias[:, None]], dim=1).detach().double().numpy()
    of_read, nothing = readings(read["key"]), np.array([])
    parts = [
        (Faces(np.concatenate(both, axis=2), of_read, read["crop"], nothing), READ_WEIGHT),
        (Faces(np.concatenate(fer, axis=2), votes, data.images, nothing), FER_WEIGHT),
    ]
    layer = fitted(parts, start)
    crops_unread = np.concatenate(unread)
    seen = np.concatenate([features(each, crops_unread) for each in networks], axis=1)[:, np.newaxis]
    own = np.concatenate(both, axis=2)
    np.savez(
        wanted.out / "targets.npz",
        wide=np.concatenate([read["wide"], *wide]),
        photographs=np.concatenate([(of_read + shares_of(layer, own)) / 2, shares_of(layer, seen)]),
        perceived=np.concatenate([shares_of(start, own), shares_of(start, seen)]),
        is_read=np.arange(len(own) + len(seen)) < len(own),
    )
    sys.stdout.write(f"{len(own):,} read faces, {len(seen):,} unread\n")


def hashes(faces: Pixels) -> npt.NDArray[np.float32]:
    """72 signs (-1, 1) of each crop: whether a pixel of its copy of 10 x 8 is lighter than its left neighbour."""
    small = np.array([np.asarray(Image.fromarray(each).resize((10, 8), Image.Resampling.BOX), int) for each in faces])
    return np.where(small[:, :, 1:] > small[:, :, :-1], 1, -1).reshape(len(faces), -1).astype(np.float32)


def readings(keys: npt.NDArray[np.str_]) -> Shares:
    """The share of each face's readings that name each class of ``perceived``: (N, 10)."""
    named = [[canonical_class(each) for each in key.split("|")[1:]] for key in keys]
    return np.array([[pair.count(name) / len(pair) for name in PERCEIVED] for pair in named])


def of_default() -> Network:
    """The network of ``default`` without an output ``photographs``."""
    return with_weights(
        MienNet(27, SEEN_PX, 1, 8, 1, (32, 96, 192, 256), (2, 2, 2, 2), False), find_run("default").best
    )


def teachers(folder: Path) -> list[Network]:
    """Networks that learned from FER2013 alone, in evaluation mode."""
    networks: list[tuple[str, Network]] = [
        ("resnet", ResNet(18, 17, SEEN_PX, 1, 48)),
        *((name, MienNet(17, SEEN_PX, 1, 32, 1, (64, 128, 256, 512), (2, 2, 2, 2), False)) for name in WIDE),
    ]
    return [with_weights(network, folder / f"teacher-{name}.safetensors") for name, network in networks]


WIDE = ("wide", "wide-mixed")


def with_weights(network: Network, file: Path) -> Network:
    """Load weights, stored in fp16, into a network in evaluation mode."""
    network.load_state_dict({key: at.float() if at.is_floating_point() else at for key, at in load_file(file).items()})
    return network.to(memory_format=torch.channels_last).eval()


@torch.no_grad()
def features(network: Network, faces: Pixels) -> npt.NDArray[np.float32]:
    """What the last layer sees of crops of 48 px: (N, D)."""
    found = []
    for first in range(0, len(faces), 128):
        inner = np.ascontiguousarray(faces[first : first + 128, 2:-2, 2:-2])
        x = ((torch.as_tensor(inner).float() / 255 - MEAN) / STD).unsqueeze(1).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(network.features(x).float().numpy())
    return np.concatenate(found)


# Training


def train(wanted: argparse.Namespace) -> None:
    """Train one run by SGD with a cosine rate, and write the mean of its weights over steps."""
    torch.manual_seed(wanted.seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(wanted.seed)
    network = of_default()
    if wanted.start:
        network.load_state_dict(load_file(wanted.out / f"{wanted.start}.safetensors"))
    else:
        with torch.no_grad():
            for at in (network.head.weight, network.head.bias):
                at[OUTPUTS["photographs"]] = at[OUTPUTS["perceived"]]
    network.train()
    data = load_dataset(wanted.data, size_px=CROP_PX).of_split("train")
    edge = (WIDE_PX - CROP_PX) // 2
    fer = np.pad(np.asarray(data.images), ((0, 0), (edge, edge), (edge, edge)), mode="edge")
    soft = np.load(wanted.soft)["soft"].astype(float)
    labels = (1 - SOFT_SHARE) * np.eye(LABELS)[data.labels] + SOFT_SHARE * soft[:, OUTPUTS["label"]]
    votes = (1 - SOFT_SHARE) * vote_probabilities(check_votes(data)) + SOFT_SHARE * soft[:, OUTPUTS["perceived"]]
    photos = dict(np.load(wanted.out / "targets.npz"))
    wide, read = photos["wide"], np.flatnonzero(photos["is_read"])
    unread = np.flatnonzero(~photos["is_read"])
    rarity = [rarer_first(photos["photographs"][rows]) for rows in (read, unread)]
    parameters = list(network.parameters())
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 5e-4},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.SGD(groups, lr=wanted.lr, momentum=0.9, nesterov=True)
    mean = {key: value.clone() for key, value in network.state_dict().items()}
    order, place, of_read = rng.permutation(len(fer)), 0, round(PHOTOS_PART * READ_SHARE)
    for step in range(wanted.steps):
        rate = wanted.lr * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * step / wanted.steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        if place + FER_PART > len(order):
            order, place = rng.permutation(len(fer)), 0
        rows, place = order[place : place + FER_PART], place + FER_PART
        counts = (of_read, PHOTOS_PART - of_read)
        drawn = [rng.choice(of, n, p=p) for of, n, p in zip((read, unread), counts, rarity, strict=True)]
        chosen = np.concatenate(drawn)
        x = varied(np.concatenate([fer[rows], wide[chosen]]), rng).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            seen = network.features(x)
        logits = network.head(seen.float())
        of_fer, of_photos = logits[: len(rows)], logits[len(rows) :]
        loss = entropy(of_fer, "label", labels[rows]) + entropy(of_fer, "perceived", votes[rows])
        loss = loss + 0.25 * entropy(of_fer, "photographs", votes[rows])
        loss = loss + entropy(of_photos, "photographs", photos["photographs"][chosen])
        loss = loss + 0.5 * entropy(of_photos, "perceived", photos["perceived"][chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        kept = min(0.995, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value in network.state_dict().items():
                if value.is_floating_point():
                    mean[key].mul_(kept).add_(value, alpha=1 - kept)
                else:
                    mean[key].copy_(value)
    save_file({key: each.contiguous() for key, each in mean.items()}, wanted.out / f"{wanted.run}.safetensors")


def rarer_first(shares: Shares) -> Shares:
    """The probability of drawing each face: its likeliest class counts by the root of its rarity."""
    top = shares.argmax(axis=1)
    weights = np.bincount(top, minlength=shares.shape[1])[top] ** -0.5
    return np.asarray(weights / weights.sum())


def entropy(logits: Tensor, output: str, shares: Shares) -> Tensor:
    """Cross-entropy of one output with shares of people, the mean over faces."""
    return -(torch.as_tensor(shares).float() * logits[:, OUTPUTS[output]].log_softmax(1)).sum(1).mean()


def varied(faces: Pixels, rng: np.random.Generator) -> Tensor:
    """Turn, zoom, shift, coarsen, relight and cover crops of 64 px; their middle of 44 px, as the network takes it."""
    count = len(faces)
    x = torch.as_tensor(faces).float().unsqueeze(1) / 255

    def between(low: float, high: float) -> Tensor:
        return torch.rand(count) * (high - low) + low

    mirrored = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    angle, zoom = between(-12, 12) * math.pi / 180, between(0.88, 1.14) * SEEN_PX / WIDE_PX
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    moved = torch.zeros(count, 2, 3)
    moved[:, 0, 0], moved[:, 0, 1] = cos * mirrored * between(0.94, 1.06), -sin
    moved[:, 1, 0], moved[:, 1, 1] = sin * mirrored, cos
    moved[:, 0, 2], moved[:, 1, 2] = between(-0.1, 0.1), between(-0.1, 0.1)
    grid = functional.affine_grid(moved, [count, 1, SEEN_PX, SEEN_PX], align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    coarse = torch.rand(count) < 0.2
    if coarse.any():
        small = functional.interpolate(x[coarse], size=int(rng.integers(18, 40)), mode="bilinear", antialias=True)
        x[coarse] = functional.interpolate(small, size=SEEN_PX, mode="bilinear")
    contrast, light = between(0.65, 1.35)[:, None, None, None], between(-0.12, 0.12)[:, None, None, None]
    middle = x.mean((2, 3), keepdim=True)
    x = ((x - middle) * contrast + middle + light).clamp(1e-4, 1)
    x = x ** torch.exp(between(-0.3, 0.3))[:, None, None, None]
    noise = (torch.rand(count) < 0.25)[:, None, None, None] * between(0, 0.06)[:, None, None, None]
    x = x + torch.randn_like(x) * noise
    for row in np.flatnonzero(rng.random(count) < 0.2):
        height, width = rng.integers(6, 18, 2)
        top, left = rng.integers(0, SEEN_PX - height), rng.integers(0, SEEN_PX - width)
        x[row, 0, top : top + height, left : left + width] = float(rng.random())
    return (x.clamp(0, 1) - MEAN) / STD


# Mean


def mean(wanted: argparse.Namespace) -> None:
    """Mix the mean of runs with ``default``, whose ``photographs`` counts as its ``perceived``."""
    first, _ = checkpoint.load(find_run("default").best)
    for part in ("weight", "bias"):
        first[f"head.{part}"][OUTPUTS["photographs"]] = first[f"head.{part}"][OUTPUTS["perceived"]]
    runs = [load_file(wanted.out / f"{run}.safetensors") for run in wanted.runs]
    mixed = {}
    for key, value in first.items():
        if value.is_floating_point():
            together = torch.stack([each[key].float() for each in runs]).mean(dim=0)
            value = value.float() * (1 - wanted.share) + together * wanted.share
        mixed[key] = value.contiguous()
    save_file(mixed, wanted.out / "mean.safetensors")


def main() -> None:
    """Read the command line and take one step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(required=True)
    needed = {
        crops: ("faces", "photos", "muxspace", "fairface"),
        targets: ("data", "teachers"),
        train: ("data", "soft"),
        mean: (),
    }
    for step, paths in needed.items():
        own = steps.add_parser(step.__name__)
        own.set_defaults(step=step)
        for name in (*paths, "out"):
            own.add_argument(f"--{name}", type=Path, required=True)
        if step is train:
            own.add_argument("--run", required=True)
            own.add_argument("--start")
            own.add_argument("--seed", type=int, default=0)
            own.add_argument("--steps", type=int, default=4000)
            own.add_argument("--lr", type=float, default=0.02)
        if step is mean:
            own.add_argument("runs", nargs="+")
            own.add_argument("--share", type=float, default=0.7)
    wanted = parser.parse_args()
    wanted.step(wanted)


if __name__ == "__main__":
    main()
