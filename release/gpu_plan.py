"""Train four teachers and students of three sizes on one GPU, in ten minutes.

    python release/gpu_plan.py --data fer2013.parquet --out runs/gpu --seconds 570

1. Teachers learn the label and the votes of FER+ side by side, each in a CUDA graph on a stream of its own.
2. Their mean predictions of augmented faces, half of them mixed, are kept with these faces: the bank.
3. Students of the sizes that ship, three seeds each, learn from the bank.

The last step is kept, as the average of its weights, with recalibrated batch norms. OUT gets NAME.safetensors (fp16)
and gpu.json: steps and metrics of each on PublicTest. All images stay on the GPU, and are augmented there.
What it gave is in docs/lab-notebook.md. --device cpu --seconds 60 --limit 512 rehearses every line.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from mien.models.mien import MienNet
from mien.models.resnet import ResNet
from mien.models.vgg import VGG

LABELS, VOTES = 7, 10
MEAN, STD, SIDE, CROP = 0.508, 0.255, 48, 44
BATCH, CHUNK = 256, 4
"""Images of a step, and steps of a graph's replay, which share one call of the augmentation."""
# rotation in degrees, scale, translation; then fractions of images with each change; see :func:`warp`, :func:`degrade`.
GEOMETRY = {"rotation": 15.0, "scale": 0.15, "translate": 0.1}
TEACHER_LIGHT = {"brightness": 0.1, "contrast": 0.25, "blur": 0.0, "low": 0.0, "noise": 0.0, "erase": 0.25}
ROBUST_LIGHT = {"brightness": 0.15, "contrast": 0.35, "blur": 0.2, "low": 0.2, "noise": 0.2, "erase": 0.25}
STUDENT_GEOMETRY = {"rotation": 15.0, "scale": 0.2, "translate": 0.1}
STUDENT_LIGHT = {"brightness": 0.15, "contrast": 0.3, "blur": 0.15, "low": 0.15, "noise": 0.15, "erase": 0.2}
WIDE = {
    "stem_width": 32,
    "stem_stride": 1,
    "widths": (64, 128, 256, 512),
    "convolutions": (2, 2, 2, 2),
    "pool_last": False,
}
TEACHERS: dict[str, dict[str, Any]] = {
    "wide": {"make": lambda: MienNet(LABELS + VOTES, **WIDE, dropout=0.3), "lr": 0.14, "light": TEACHER_LIGHT},
    "resnet": {"make": lambda: ResNet(LABELS + VOTES, 18, 48, 0.2), "lr": 0.14, "light": TEACHER_LIGHT},
    "vgg": {"make": lambda: VGG(LABELS + VOTES, 13, 48, 0.4), "lr": 0.06, "light": TEACHER_LIGHT},
    "robust": {"make": lambda: MienNet(LABELS + VOTES, **WIDE, dropout=0.3), "lr": 0.14, "light": ROBUST_LIGHT},
}
STUDENTS: dict[str, dict[str, Any]] = {
    "fast": {"stem_width": 8, "widths": (16, 48, 96, 144), "convolutions": (1, 3, 3, 2), "dropout": 0.0},
    "default": {"stem_width": 8, "widths": (32, 96, 192, 256), "convolutions": (2, 2, 2, 2), "dropout": 0.05},
    "best": {"stem_width": 16, "widths": (32, 96, 224, 384), "convolutions": (2, 2, 2, 2), "dropout": 0.1},
}
TEMPERATURE, ALPHA, ALPHA_VOTES = 2.0, 0.8, 0.7
EMA = 0.998
started = time.monotonic()


def say(text: str) -> None:
    """Print with the time since the start."""
    sys.stdout.write(f"{time.monotonic() - started:7.1f} {text}\n")
    sys.stdout.flush()


def decode(data: bytes) -> np.ndarray:
    """One image as uint8 (48, 48)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


@dataclass
class Faces:
    """Faces on the device: uint8 (N, 48, 48), int64 (N,) labels, float (N, 10) votes."""

    images: Tensor
    labels: Tensor
    votes: Tensor


def read(path: Path, device: torch.device, limit: int) -> tuple[Faces, Faces]:
    """Training and PublicTest."""
    table = pq.read_table(path)
    with ProcessPoolExecutor() as pool:
        encoded = [each["bytes"] for each in table["image"].to_pylist()]
        images = np.stack(list(pool.map(decode, encoded, chunksize=512)))
    labels, votes = np.array(table["label"]), np.array(table["ferplus_votes"].to_pylist(), np.float32)
    usage = np.array(table["usage"])

    def part(name: str) -> Faces:
        rows = np.flatnonzero(usage == name)[: limit or None]
        arrays = (images[rows], labels[rows].astype(np.int64), votes[rows])
        return Faces(*(torch.from_numpy(each).to(device) for each in arrays))

    return part("Training"), part("PublicTest")


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """float32 (count,)."""
    return torch.rand(count, device=device) * (high - low) + low


def pick(table: Tensor, place: Tensor) -> Tensor:
    """A row of a table, in turn. Plain indexing by a scalar would wait for the GPU."""
    return table.index_select(0, (place % len(table)).view(1))[0]


def warp(images: Tensor, geometry: dict[str, float]) -> Tensor:
    """Rotate, scale, translate, mirror half and crop: uint8 (N, 48, 48) -> float32 (N, 1, 44, 44), 0..255."""
    count, device = len(images), images.device
    angle = uniform(count, -1, 1, device) * math.radians(geometry["rotation"])
    zoom = CROP / SIDE / uniform(count, 1 - geometry["scale"], 1 + geometry["scale"], device)
    sign = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    shift = 2 * geometry["translate"] * (torch.rand(count, 2, device=device) * 2 - 1)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rows = torch.stack([sign * cosine, -sine, shift[:, 0], sign * sine, cosine, shift[:, 1]], dim=1)
    grid = functional.affine_grid(rows.view(count, 2, 3), [count, 1, CROP, CROP], align_corners=False)
    pixels = images.unsqueeze(1).float()
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def resolution_table(device: torch.device) -> Tensor:
    """Shrinking an axis of 44 pixels to 11..43 and enlarging it again, as matrices (33, 44, 44)."""
    unit = torch.eye(CROP).unsqueeze(0)
    tables = []
    for fewer in range(CROP // 4, CROP):
        small = functional.adaptive_avg_pool1d(unit, fewer)
        tables.append(functional.interpolate(small, size=CROP, mode="linear", align_corners=False)[0].T)
    return torch.stack(tables).to(device)


class Degrade:
    """Light, blur, low resolution, noise, erasing; normalised at the end. (N, 1, 44, 44), 0..255, to the same."""

    def __init__(self, device: torch.device) -> None:
        self.table = resolution_table(device)
        self.eye = torch.eye(CROP, device=device)
        self.at = torch.arange(CROP, device=device, dtype=torch.float32)
        self.apart = (self.at.view(-1, 1) - self.at.view(1, -1)) ** 2

    def __call__(self, pixels: Tensor, light: dict[str, float]) -> Tensor:
        """The strengths are drawn for each image."""
        count, device = len(pixels), pixels.device

        def each(low: float, high: float) -> Tensor:
            return uniform(count, low, high, device).view(-1, 1, 1, 1)

        def chosen(share: float) -> Tensor:
            return torch.rand(count, device=device) < share

        centre = pixels.mean(dim=(2, 3), keepdim=True)
        gain = each(1 - light["contrast"], 1 + light["contrast"])
        pixels = (pixels - centre) * gain + centre + 255 * each(-light["brightness"], light["brightness"])
        pixels = pixels.clamp(0, 255)
        if light["blur"]:
            sigma = each(0.3, 2.0).view(-1, 1, 1) * CROP / SIDE
            weights = torch.exp(-self.apart / (2 * sigma**2))
            weights = weights / weights.sum(dim=2, keepdim=True)
            low = self.table[torch.randint(len(self.table), (count,), device=device)]
            first = torch.where(chosen(light["blur"]).view(-1, 1, 1), weights, self.eye)
            second = torch.where(chosen(light["low"]).view(-1, 1, 1), low, self.eye)
            both = torch.bmm(second, first)
            pixels = torch.bmm(torch.bmm(both, pixels[:, 0]), both.transpose(1, 2)).unsqueeze(1)
            deviation = each(0, 255 * 0.15) * chosen(light["noise"]).view(-1, 1, 1, 1)
            pixels = (pixels + deviation * torch.randn_like(pixels)).clamp(0, 255)
        batch = normalised(pixels)
        area, stretch = each(0.02, 0.2), each(math.log(0.5), math.log(2.0)).exp()
        height, width = (area * stretch).sqrt() * CROP, (area / stretch).sqrt() * CROP
        top, left = each(0, 1) * (CROP - height), each(0, 1) * (CROP - width)
        down, across = self.at.view(1, 1, -1, 1), self.at.view(1, 1, 1, -1)
        inside = (down >= top) & (down < top + height) & (across >= left) & (across < left + width)
        return batch.masked_fill(inside & chosen(light["erase"]).view(-1, 1, 1, 1), 0.0)


def normalised(pixels: Tensor) -> Tensor:
    """0..255 -> as networks see it."""
    return (pixels / 255 - MEAN) / STD


def centre_crop(images: Tensor) -> Tensor:
    """uint8 (N, 48, 48) -> the network's input, without augmentation."""
    start = (SIDE - CROP) // 2
    return normalised(images[:, start : start + CROP, start : start + CROP].unsqueeze(1).float())


class Trainer:
    """A network, its averaged weights, and Nesterov SGD on a cosine, all as operations that a CUDA graph can hold."""

    def __init__(self, network: nn.Module, lr: float, decay: float, clip: float) -> None:
        self.network = network
        self.parameters = list(network.parameters())
        self.matrices = [value for value in self.parameters if value.dim() > 1]
        self.matrix_places = [place for place, value in enumerate(self.parameters) if value.dim() > 1]
        self.momenta = [torch.zeros_like(value) for value in self.parameters]
        self.averages = [value.detach().clone() for value in self.parameters]
        device = self.parameters[0].device
        self.lr, self.decay, self.clip = lr, decay, clip
        self.step, self.total = torch.zeros((), device=device), torch.full((), 20000.0, device=device)
        self.loss = torch.zeros((), device=device)

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> None:
        """One step."""
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_mul_(gradients, (self.clip / (norm + 1e-6)).clamp(max=1.0))
        torch._foreach_add_([gradients[place] for place in self.matrix_places], self.matrices, alpha=self.decay)
        torch._foreach_mul_(self.momenta, 0.9)
        torch._foreach_add_(self.momenta, gradients)
        change = torch._foreach_add(gradients, self.momenta, alpha=0.9)
        warm = (self.step + 1) / (0.03 * self.total + 1)
        cosine = 0.5 * (1 + torch.cos(math.pi * (self.step / self.total).clamp(max=1.0)))
        torch._foreach_mul_(change, self.lr * torch.minimum(warm, cosine))
        torch._foreach_sub_(self.parameters, change)
        # A shorter memory at first, so that the random start is forgotten.
        keep = torch.minimum(torch.full_like(self.step, EMA), (self.step + 1) / (self.step + 10))
        torch._foreach_mul_(self.averages, keep)
        torch._foreach_add_(self.averages, torch._foreach_mul(self.parameters, 1 - keep))
        self.step += 1

    def minimise(self, batch: Tensor, loss_of: Callable[[Tensor], Tensor]) -> None:
        """A forward pass, a backward pass, an update."""
        with torch.autocast(batch.device.type, torch.bfloat16, cache_enabled=False):
            logits = self.network(batch.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits.float())
        self.loss.copy_(loss.detach())
        self.update(list(torch.autograd.grad(loss, self.parameters)))

    @torch.no_grad()
    def averaged(self, faces: Faces) -> nn.Module:
        """Put the averages into the network, recalibrate its batch norms on clean faces; the network, to be used."""
        for value, average in zip(self.parameters, self.averages, strict=True):
            value.copy_(average)
        norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm2d)]
        self.network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        for rows in torch.arange(min(len(faces.images), 8192), device=faces.images.device).split(512):
            self.network(centre_crop(faces.images[rows]))
        return self.network.eval()


class Graph:
    """Work that is captured once and replayed; on a CPU it is called."""

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self.work, self.graph = work, None
        if device.type != "cuda":
            work()
            return
        torch.cuda.synchronize()
        self.stream = torch.cuda.Stream()
        with torch.cuda.stream(self.stream):
            for _ in range(2):
                work()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            work()
        torch.cuda.synchronize()

    def replay(self) -> None:
        """Do it once more, on its own stream."""
        if self.graph is None:
            self.work()
            return
        with torch.cuda.stream(self.stream):
            self.graph.replay()

    def after(self, other: Graph) -> None:
        """Let what comes next on this stream wait for what is on the other."""
        if self.graph is not None:
            self.stream.wait_stream(other.stream)


def synchronize(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def run_rounds(
    one_round: Callable[[int], None], trainers: list[Trainer], steps: int, seconds: float, device: Any
) -> int:
    """Measure a round, set each schedule to what fits into ``seconds``, and run. Returns the number of rounds.

    Args:
        one_round: of its number, from 0.
        trainers: whose schedules end with the last round.
        steps: of each trainer in a round.
        seconds: for all.
        device: synchronised at the end.
    """
    begin = time.monotonic()
    trial = 12 if device.type == "cuda" else 1
    for trainer in trainers:
        # A guess at first: warming up.
        trainer.step.zero_()
        trainer.total.fill_(20000.0)
    synchronize(device)
    for number in range(3 if device.type == "cuda" else 0):
        one_round(number)
    synchronize(device)
    clock = time.monotonic()
    for number in range(trial):
        one_round(number)
    synchronize(device)
    pace = (time.monotonic() - clock) / trial
    rounds = max(int((seconds - (time.monotonic() - begin)) / pace), 2)
    for trainer in trainers:
        trainer.step.zero_()
        trainer.total.fill_(float(rounds * steps))
    synchronize(device)
    say(
        f"{pace * 1000:.1f} ms a round, {rounds} rounds, {rounds * steps} steps, "
        f"{len(trainers) * steps * BATCH / pace:.0f} images/s over {len(trainers)} networks"
    )
    for number in range(rounds):
        one_round(number)
        if number % 25 == 0:
            synchronize(device)
        if number % max(rounds // 8, 1) == 0:
            synchronize(device)
            say(f"  {number / rounds:.0%} losses " + " ".join(f"{float(each.loss):.3f}" for each in trainers))
        # A pace that was measured too fast must not cost the results: the rest of the schedule is dropped.
        if number % 25 == 0 and time.monotonic() - begin > 1.03 * seconds + 1:
            say(f"stopped after {number} of {rounds} rounds")
            break
    synchronize(device)
    return rounds


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy with distributions."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def train_teachers(train: Faces, seconds: float, device: torch.device) -> dict[str, Trainer]:
    """All teachers at once."""
    count = len(train.images)
    shares = train.votes / train.votes.sum(1, keepdim=True).clamp_min(1)
    labels = functional.one_hot(train.labels, LABELS).float()
    targets = torch.cat([labels, shares], 1)
    degrade = Degrade(device)
    rng = np.random.default_rng(0)
    # Half of the batches are mixed, by Beta(1, 1).
    mixing = np.where(rng.random(4096) < 0.5, rng.random(4096), 1.0).astype(np.float32)
    lams = torch.from_numpy(mixing).to(device)
    trainers, graphs = {}, {}
    for place, (name, spec) in enumerate(TEACHERS.items()):
        torch.manual_seed(place)
        trainers[name] = Trainer(channels_last(spec["make"](), device), spec["lr"], 1e-4, 1.0)
    for place, (name, trainer) in enumerate(trainers.items()):
        light = TEACHERS[name]["light"]
        # An order for some epochs, drawn beforehand, used in turn.
        drawn = [rng.permutation(count) for _ in range(max(40, -(-BATCH * CHUNK * 8 // count)))]
        order = torch.from_numpy(np.concatenate(drawn)).to(device)
        order = order[: len(order) // (BATCH * CHUNK) * BATCH * CHUNK].view(-1, BATCH * CHUNK)

        def work(trainer=trainer, order=order, light=light, place=place) -> None:  # type: ignore[no-untyped-def]
            turn = (trainer.step / CHUNK).long()
            rows = pick(order, turn)
            images = degrade(warp(train.images[rows], GEOMETRY), light)
            wanted = targets[rows]
            for step in range(CHUNK):
                part = slice(step * BATCH, (step + 1) * BATCH)
                batch, aims = images[part], wanted[part]
                lam = pick(lams, turn * CHUNK + step + 997 * place)
                batch, aims = (lam * each + (1 - lam) * each.roll(1, 0) for each in (batch, aims))

                def loss_of(logits: Tensor, aims: Tensor = aims) -> Tensor:
                    label = soft_cross_entropy(logits[:, :LABELS], aims[:, :LABELS])
                    return label + soft_cross_entropy(logits[:, LABELS:], aims[:, LABELS:])

                trainer.minimise(batch, loss_of)

        graphs[name] = Graph(work, device)
        say(f"captured {name}, {sum(each.numel() for each in trainer.parameters) / 1e6:.2f} M parameters")

    def one_round(number: int) -> None:
        for graph in graphs.values():
            graph.replay()

    run_rounds(one_round, list(trainers.values()), CHUNK, seconds, device)
    return trainers


def channels_last(network: nn.Module, device: torch.device) -> nn.Module:
    """On the device, convolutions in the layout that tensor cores like."""
    return network.to(device).to(memory_format=torch.channels_last).train()


@dataclass
class Bank:
    """Augmented faces uint8 (M, 44, 44), and float16 targets (M, 24).

    A target has the label's distribution as teachers say it, then the label itself, then the votes'.
    """

    images: Tensor
    targets: Tensor


@torch.no_grad()
def make_bank(train: Faces, teachers: list[nn.Module], seconds: float, device: torch.device) -> Bank:
    """Let teachers predict augmented faces and their mirror images, as long as ``seconds`` last."""
    count = len(train.images)
    shares = train.votes / train.votes.sum(1, keepdim=True).clamp_min(1)
    labels = functional.one_hot(train.labels, LABELS).float()
    images, targets = [], []
    until, number = time.monotonic() + seconds, 0
    while number < 2 or (time.monotonic() < until and number < 120):
        order = torch.randperm(count, device=device)
        for rows in order.split(2048):
            pixels = warp(train.images[rows], STUDENT_GEOMETRY)
            aims = torch.cat([labels[rows], shares[rows]], 1)
            if number % 2:
                # Every other pass is mixed: Beta(1, 1), one for each pair.
                lam = torch.rand(len(rows), 1, device=device)
                pixels = lam.view(-1, 1, 1, 1) * pixels + (1 - lam.view(-1, 1, 1, 1)) * pixels.roll(1, 0)
                aims = lam * aims + (1 - lam) * aims.roll(1, 0)
            kept = pixels.round().clamp(0, 255).to(torch.uint8)
            batch = normalised(kept.float()).contiguous(memory_format=torch.channels_last)
            answers = []
            with torch.autocast(device.type, torch.bfloat16):
                for teacher in teachers:
                    both = torch.stack([teacher(batch).float(), teacher(batch.flip(3)).float()])
                    label = (both[:, :, :LABELS] / TEMPERATURE).softmax(2).mean(0)
                    answers.append(torch.cat([label, both[:, :, LABELS:].softmax(2).mean(0)], 1))
            mean = torch.stack(answers).mean(0)
            votes = ALPHA_VOTES * mean[:, LABELS:] + (1 - ALPHA_VOTES) * aims[:, LABELS:]
            images.append(kept[:, 0])
            targets.append(torch.cat([mean[:, :LABELS], aims[:, :LABELS], votes], 1).half())
        number += 1
        synchronize(device)
    say(f"bank of {number} passes, {len(teachers)} teachers")
    return Bank(torch.cat(images), torch.cat(targets))


def train_students(bank: Bank, seeds: int, seconds: float, device: torch.device) -> dict[str, Trainer]:
    """All students at once, on the same batches."""
    degrade = Degrade(device)
    size = BATCH * CHUNK
    order = torch.randperm(len(bank.images), device=device)
    order = order[: len(order) // size * size].view(-1, size)
    turn = torch.zeros((), dtype=torch.int64, device=device)
    shown = torch.zeros(size, 1, CROP, CROP, device=device)
    wanted = torch.zeros(size, 2 * LABELS + VOTES, device=device)

    def feed() -> None:
        rows = pick(order, turn)
        pixels = bank.images[rows].float().unsqueeze(1)
        mirrored = torch.rand(size, 1, 1, 1, device=device) < 0.5
        shown.copy_(degrade(torch.where(mirrored, pixels.flip(3), pixels), STUDENT_LIGHT))
        wanted.copy_(bank.targets[rows])
        turn.add_(1)

    feeder = Graph(feed, device)
    trainers, graphs = {}, []
    for name, spec in STUDENTS.items():
        for seed in range(seeds):
            torch.manual_seed(1000 + seed)
            network = channels_last(MienNet(LABELS + VOTES, stem_stride=1, pool_last=False, **spec), device)
            trainer = trainers[f"{name}-{seed}"] = Trainer(network, 0.2, 2.5e-4, 5.0)

            def work(trainer=trainer, aims=wanted) -> None:  # type: ignore[no-untyped-def]
                for step in range(CHUNK):
                    part = slice(step * BATCH, (step + 1) * BATCH)

                    def loss_of(logits: Tensor, aims: Tensor = aims[part]) -> Tensor:
                        own = logits[:, :LABELS]
                        soft = TEMPERATURE**2 * soft_cross_entropy(own / TEMPERATURE, aims[:, :LABELS])
                        hard = soft_cross_entropy(own, aims[:, LABELS : 2 * LABELS])
                        votes = soft_cross_entropy(logits[:, LABELS:], aims[:, 2 * LABELS :])
                        return ALPHA * soft + (1 - ALPHA) * hard + 2 * votes

                    trainer.minimise(shown[part], loss_of)

            graphs.append(Graph(work, device))
    say(f"captured {len(graphs)} students")

    def one_round(number: int) -> None:
        for graph in graphs:
            feeder.after(graph)
        feeder.replay()
        for graph in graphs:
            graph.after(feeder)
            graph.replay()

    run_rounds(one_round, list(trainers.values()), CHUNK, seconds, device)
    return trainers


@torch.no_grad()
def predict(network: nn.Module, faces: Faces) -> Tensor:
    """Logits (N, 17), one view."""
    return torch.cat([network(centre_crop(each)).float() for each in faces.images.split(512)])


def measure(logits: Tensor, faces: Faces) -> dict[str, float]:
    """Accuracy of the label; accuracy and mean recall of seven classes by FER+'s majority."""
    label = float((logits[:, :LABELS].argmax(1) == faces.labels).float().mean())
    votes = torch.where(faces.votes == 1, 0.0, faces.votes)
    most, majority = votes.max(1)
    counted = (2 * most > votes.sum(1)) & (majority < 8)
    found = logits[:, LABELS : LABELS + 8].argmax(1)
    right = (found == majority)[counted].float()
    recalls = [right[majority[counted] == each].mean() for each in range(7) if (majority[counted] == each).any()]
    return {"label": label, "ferplus": float(right.mean()), "recall7": float(torch.stack(recalls).mean())}


def save(networks: dict[str, nn.Module], path: Path) -> None:
    """Several networks in one file, fp16, names as prefixes."""
    tensors = {
        f"{name}/{key}": value.detach()
        .cpu()
        .contiguous()
        .to(torch.float16 if value.is_floating_point() else value.dtype)
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    safetensors.torch.save_file(tensors, path)


def main() -> int:
    """Do all. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=700.0, help="for all three parts together")
    parser.add_argument("--limit", type=int, default=0, help="so many faces of each split, for a rehearsal")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shares", type=float, nargs=3, default=(0.47, 0.08, 0.45), help="of the time, for each part")
    given = parser.parse_args()
    device = torch.device(given.device)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    train, validation = read(given.data, device, given.limit)
    say(f"read {len(train.images)} and {len(validation.images)} faces")
    left = given.seconds - (time.monotonic() - started) - 10
    report: dict[str, Any] = {}

    def keep(trainers: dict[str, Trainer], file: str, names: list[str]) -> dict[str, nn.Module]:
        networks = {name: trainers[name].averaged(train) for name in names}
        answers = {}
        for name, network in networks.items():
            answers[name] = predict(network, validation)
            report[name] = measure(answers[name], validation) | {"steps": int(trainers[name].step), "batch": BATCH}
            say(f"{name}: " + " ".join(f"{key} {value:.4f}" for key, value in report[name].items()))
        logs = [torch.cat([e[:, :LABELS].softmax(1), e[:, LABELS:].softmax(1)], 1) for e in answers.values()]
        report[f"mean of {file}"] = measure(torch.stack(logs).mean(0), validation)
        say(f"mean of {file}: {report[f'mean of {file}']}")
        save(networks, given.out / f"{file}.safetensors")
        (given.out / "gpu.json").write_text(json.dumps(report, indent=1))
        return networks

    trainers = train_teachers(train, left * given.shares[0], device)
    teachers = list(keep(trainers, "teachers", list(TEACHERS)).values())
    for network in teachers:
        network.requires_grad_(False)
    bank = make_bank(train, teachers, left * given.shares[1], device)
    until = given.seconds - (time.monotonic() - started) - 12
    trainers = train_students(bank, given.seeds, until, device)
    for name in STUDENTS:
        keep(trainers, name, [each for each in trainers if each.startswith(f"{name}-")])
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
