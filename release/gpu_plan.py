"""Train five teachers, and `best`, `default` and `fast` further on what they say, on one GPU in ten minutes.

    make gpu-plan DATA=fer2013.parquet

1. Teachers learn the label and the votes of FER+ side by side, each as a CUDA graph on a stream of its own. Images and
   labels change as in `quick`, on the GPU.
2. Their mean predictions of augmented faces are kept with these faces: the bank.
3. The networks that ship go on from their weights, three seeds each, on the bank: worse images, a cosine to zero.

Kept is the last step, as the average of the weights, with recalibrated batch norms. What all reach on PublicTest is
printed. OUT gets eight files of at most 13 MB: of each teacher its weights in fp16 (to teach again with), of each
student the first seed's, as a checkpoint. To look at a student: copy src/mien/shipped/NAME without its .onnx files,
replace best.safetensors, `mien export`, `mien evaluate`; then release/ship.py and release/choose_answer.py.
This form has not run on a GPU yet.

Where only a little can be carried to the GPU: this file, the data, and of src/mien only __init__.py, version.py,
models/ and shipped/*/{recipe.toml,best.safetensors} are needed, 64 MB in all; then `PYTHONPATH=src python
release/gpu_plan.py --data DATA --out OUT`, with torch, numpy, pyarrow, Pillow and safetensors.
--device cpu --limit 600 --seconds 60 --seeds 1 rehearses every line, in minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from mien.models.mien import MienNet
from mien.models.resnet import ResNet

SHIPPED = Path(__file__).parents[1] / "src" / "mien" / "shipped"
LABELS, VOTES = 7, 10
MEAN, STD, SIDE, CROP = 0.508, 0.255, 48, 44
BATCH, CHUNK = 256, 4
"""Images of a step, and steps of a graph's replay, which share one call of the augmentation."""
EMA = 0.998
SMOOTHING, SHARE, MOMENTUM, START = 0.1, 0.7, 0.9, 0.3
"""As `quick` and training/self_adaptive.py have them."""
WARP = {"rotation": 10.0, "scale": 0.1, "translate": 0.07}
WORSE = {"brightness": 0.1, "contrast": 0.3, "blur": 0.12, "low": 0.12, "noise": 0.15, "deviation": 0.15}
"""Strengths of light; shares of the images that are blurred, shrunk, noisy; the noise: the last stage of `default`."""
TEMPERATURE, ALPHA, ALPHA_VOTES = 2.0, 0.8, 0.7
started = time.monotonic()


def wide() -> nn.Module:
    """4.7 million parameters."""
    return MienNet(LABELS + VOTES, 32, 1, (64, 128, 256, 512), (2, 2, 2, 2), pool_last=False, dropout=0.3)


def resnet() -> nn.Module:
    """6.3 million parameters."""
    return ResNet(LABELS + VOTES, 18, 48, 0.2)


def shipped(name: str, weights: bool = True) -> nn.Module:
    """The network of a model that ships, with its weights or with random ones."""
    recipe = tomllib.loads((SHIPPED / name / "recipe.toml").read_text())
    network = MienNet(LABELS + VOTES, **{key: value for key, value in recipe["model"].items() if key != "name"})
    if weights:
        network.load_state_dict(safetensors.torch.load_file(SHIPPED / name / "best.safetensors"))
    return network


# Networks, and the share of their batches that is mixed.
TEACHERS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "wide": (wide, 0.0),
    "resnet": (resnet, 0.0),
    "small": (lambda: shipped("best", weights=False), 0.0),
    "wide-mixed": (wide, 0.4),
    "resnet-mixed": (resnet, 0.4),
}
STUDENTS = ("best", "default", "fast")


def say(text: str) -> None:
    """Print with the time since the start."""
    sys.stdout.write(f"{time.monotonic() - started:7.1f} {text}\n")
    sys.stdout.flush()


@dataclass
class Faces:
    """Faces on the device: uint8 (N, 48, 48); int64 (N,); float (N, 10) votes, and their shares."""

    images: Tensor
    labels: Tensor
    votes: Tensor

    @property
    def shares(self) -> Tensor:
        """(N, 10)."""
        return self.votes / self.votes.sum(1, keepdim=True).clamp_min(1)

    @property
    def one_hot(self) -> Tensor:
        """(N, 7)."""
        return functional.one_hot(self.labels, LABELS).float()


def sha256(path: Path) -> str:
    """As checkpoints name files."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def read(path: Path, device: torch.device, limit: int) -> tuple[Faces, Faces]:
    """Training and PublicTest."""
    table = pq.read_table(path)

    def part(name: str) -> Faces:
        rows = table.filter(pc.equal(table["usage"], name)).slice(0, limit or None)
        files = (io.BytesIO(each["bytes"]) for each in rows["image"].to_pylist())
        images = np.stack([np.asarray(Image.open(file).convert("L")) for file in files])
        votes = np.array(rows["ferplus_votes"].to_pylist(), np.float32)
        arrays = (images, rows["label"].to_numpy().astype(np.int64), votes)
        return Faces(*(torch.from_numpy(each).to(device) for each in arrays))

    return part("Training"), part("PublicTest")


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """float32 (count, 1, 1, 1)."""
    return (torch.rand(count, device=device) * (high - low) + low).view(-1, 1, 1, 1)


def pick(table: Tensor, place: Tensor) -> Tensor:
    """A row of a table, in turn. Plain indexing by a scalar would wait for the GPU."""
    return table.index_select(0, (place % len(table)).view(1))[0]


def warp(images: Tensor) -> Tensor:
    """Rotate, scale, translate, mirror half and crop: uint8 (N, 48, 48) -> float32 (N, 1, 44, 44), 0..255."""
    count, device = len(images), images.device
    angle = uniform(count, -1, 1, device).flatten() * math.radians(WARP["rotation"])
    zoom = CROP / SIDE / uniform(count, 1 - WARP["scale"], 1 + WARP["scale"], device).flatten()
    sign = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    shift = 2 * WARP["translate"] * (torch.rand(count, 2, device=device) * 2 - 1)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rows = torch.stack([sign * cosine, -sine, shift[:, 0], sign * sine, cosine, shift[:, 1]], dim=1)
    grid = functional.affine_grid(rows.view(count, 2, 3), [count, 1, CROP, CROP], align_corners=False)
    pixels = images.unsqueeze(1).float()
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def normalised(pixels: Tensor) -> Tensor:
    """0..255 -> as networks see it."""
    return (pixels / 255 - MEAN) / STD


def centre_crop(images: Tensor) -> Tensor:
    """uint8 (N, 48, 48) -> the network's input, without augmentation."""
    start = (SIDE - CROP) // 2
    return normalised(images[:, start : start + CROP, start : start + CROP].unsqueeze(1).float())


def erased(batch: Tensor) -> Tensor:
    """Normalised (N, 1, 44, 44), a rectangle of 2 to 20% of the area filled in a fifth of them."""
    count, device = len(batch), batch.device
    area, stretch = uniform(count, 0.02, 0.2, device), uniform(count, -math.log(2), math.log(2), device).exp()
    height, width = (area * stretch).sqrt() * CROP, (area / stretch).sqrt() * CROP
    top, left = uniform(count, 0, 1, device) * (CROP - height), uniform(count, 0, 1, device) * (CROP - width)
    at = torch.arange(CROP, device=device, dtype=torch.float32)
    down, across = at.view(1, 1, -1, 1), at.view(1, 1, 1, -1)
    inside = (down >= top) & (down < top + height) & (across >= left) & (across < left + width)
    return batch.masked_fill(inside & (uniform(count, 0, 1, device) < 0.2), 0.0)


class Degrade:
    """Light, blur, low resolution, noise: (N, 1, 44, 44), 0..255, to the same. Strengths are drawn for each image."""

    def __init__(self, device: torch.device) -> None:
        self.eye = torch.eye(CROP, device=device)
        at = torch.arange(CROP, device=device, dtype=torch.float32)
        self.apart = (at.view(-1, 1) - at.view(1, -1)) ** 2
        # Shrinking an axis of 44 pixels to 11..43 and enlarging it again, as matrices (33, 44, 44).
        rows = self.eye.unsqueeze(0)
        small = (functional.adaptive_avg_pool1d(rows, fewer) for fewer in range(CROP // 4, CROP))
        self.low = torch.stack([functional.interpolate(each, size=CROP, mode="linear")[0].T for each in small])

    def __call__(self, pixels: Tensor) -> Tensor:
        """Both filters are matrices along the rows and along the columns."""
        count, device = len(pixels), pixels.device
        centre = pixels.mean(dim=(2, 3), keepdim=True)
        gain = uniform(count, 1 - WORSE["contrast"], 1 + WORSE["contrast"], device)
        pixels = (pixels - centre) * gain + centre
        pixels = pixels + 255 * uniform(count, -WORSE["brightness"], WORSE["brightness"], device)
        sigma = uniform(count, 0.3, 2.0, device)[:, 0] * CROP / SIDE
        weights = torch.exp(-self.apart / (2 * sigma**2))
        weights = weights / weights.sum(dim=2, keepdim=True)
        low = self.low[torch.randint(len(self.low), (count,), device=device)]
        first = torch.where(uniform(count, 0, 1, device)[:, 0] < WORSE["blur"], weights, self.eye)
        second = torch.where(uniform(count, 0, 1, device)[:, 0] < WORSE["low"], low, self.eye)
        both = torch.bmm(second, first)
        pixels = torch.bmm(torch.bmm(both, pixels.clamp(0, 255)[:, 0]), both.transpose(1, 2)).unsqueeze(1)
        deviation = uniform(count, 0, 255 * WORSE["deviation"], device) * (
            uniform(count, 0, 1, device) < WORSE["noise"]
        )
        return (pixels + deviation * torch.randn_like(pixels)).clamp(0, 255)


class Trainer:
    """A network, its averaged weights, and Nesterov SGD on a cosine, all as operations that a CUDA graph can hold."""

    def __init__(self, network: nn.Module, lr: float, decay: float, device: torch.device) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.parameters: list[Tensor] = list(network.parameters())
        self.matrices = [place for place, value in enumerate(self.parameters) if value.dim() > 1]
        self.momenta = [torch.zeros_like(value) for value in self.parameters]
        self.averages = [value.detach().clone() for value in self.parameters]
        self.lr, self.decay = lr, decay
        self.step, self.total = torch.zeros((), device=device), torch.full((), 20000.0, device=device)
        self.loss = torch.zeros((), device=device)

    @torch.no_grad()
    def update(self, gradients: list[Tensor]) -> None:
        """One step."""
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_mul_(gradients, (2.0 / (norm + 1e-6)).clamp(max=1.0))
        matrices = [self.parameters[place] for place in self.matrices]
        torch._foreach_add_([gradients[place] for place in self.matrices], matrices, alpha=self.decay)
        torch._foreach_mul_(self.momenta, 0.9)
        torch._foreach_add_(self.momenta, gradients)
        change = torch._foreach_add(gradients, self.momenta, alpha=0.9)
        warm = (self.step + 1) / (0.05 * self.total + 1)
        cosine = 0.5 * (1 + torch.cos(math.pi * (self.step / self.total).clamp(max=1.0)))
        torch._foreach_mul_(change, self.lr * torch.minimum(warm, cosine))
        torch._foreach_sub_(self.parameters, change)
        # A shorter memory at first, so that the start is forgotten.
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
        self.network.eval()
        for norm in (each for each in self.network.modules() if isinstance(each, nn.BatchNorm2d)):
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        for rows in torch.arange(min(len(faces.images), 8192), device=faces.images.device).split(512):
            self.network(centre_crop(faces.images[rows]))
        return self.network.eval().requires_grad_(False)


class Graph:
    """Work that is captured once and replayed on a stream of its own; on a CPU it is called."""

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self.work, self.graph = work, None
        if device.type != "cuda":
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
        """Do it once more."""
        if self.graph is None:
            self.work()
            return
        with torch.cuda.stream(self.stream):
            self.graph.replay()

    def after(self, other: Graph) -> None:
        """Let what comes next here wait for what is on the other's stream."""
        if self.graph is not None:
            self.stream.wait_stream(other.stream)


def synchronize(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def run_rounds(one_round: Callable[[], None], trainers: Sequence[Trainer], until: float, device: torch.device) -> None:
    """Measure a round, of CHUNK steps of each trainer, set the schedules to what fits until then, and run."""
    trial = 12 if device.type == "cuda" else 1
    one_round()
    synchronize(device)
    clock = time.monotonic()
    for _ in range(trial):
        one_round()
    synchronize(device)
    pace = (time.monotonic() - clock) / trial
    rounds = max(int((until - time.monotonic()) / pace), 2)
    for trainer in trainers:
        trainer.step.zero_()
        trainer.total.fill_(float(rounds * CHUNK))
    # The graphs' streams do not wait for this one.
    synchronize(device)
    rate = len(trainers) * CHUNK * BATCH / pace
    say(f"{rounds * CHUNK} steps of {len(trainers)} networks, {rate:.0f} images/s together")
    for number in range(rounds):
        one_round()
        if number % max(rounds // 8, 1) == 0:
            synchronize(device)
            say(f"  {number / rounds:.0%} losses " + " ".join(f"{float(each.loss):.3f}" for each in trainers))
        # A pace that was measured too fast must not cost the results: the rest of the schedule is dropped.
        if number % 25 == 0:
            synchronize(device)
            if time.monotonic() > until + 5:
                say(f"stopped after {number} of {rounds} rounds")
                break
    synchronize(device)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy with distributions."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def train_teachers(train: Faces, until: float, device: torch.device) -> dict[str, Trainer]:
    """All teachers at once, each with an order and moving targets of its own."""
    count, size = len(train.images), BATCH * CHUNK
    given = train.one_hot * (1 - SMOOTHING) + SMOOTHING / LABELS
    shares = train.shares
    rng = np.random.default_rng(0)
    trainers, graphs = {}, []
    for seed, (name, (make, mixed)) in enumerate(TEACHERS.items()):
        torch.manual_seed(seed)
        trainer = trainers[name] = Trainer(make(), 0.14, 5e-4, device)
        # An order of some epochs, drawn beforehand, used in turn.
        drawn = np.concatenate([rng.permutation(count) for _ in range(max(40, 8 * size // count + 1))])
        order = torch.from_numpy(drawn[: len(drawn) // size * size]).to(device).view(-1, size)
        lams = torch.from_numpy(np.where(rng.random(4096) < mixed, rng.random(4096), 1.0).astype(np.float32)).to(device)
        moving = given.clone()

        def work(
            trainer: Trainer = trainer, order: Tensor = order, lams: Tensor = lams, moving: Tensor = moving
        ) -> None:
            turn = (trainer.step / CHUNK).long()
            chosen = pick(order, turn)
            images = erased(normalised(warp(train.images[chosen])))
            for step in range(CHUNK):
                rows = chosen[step * BATCH : (step + 1) * BATCH]
                lam = pick(lams, turn * CHUNK + step)
                batch = images[step * BATCH : (step + 1) * BATCH]
                batch = lam * batch + (1 - lam) * batch.roll(1, 0)

                def loss_of(logits: Tensor, rows: Tensor = rows, lam: Tensor = lam) -> Tensor:
                    # Targets of whole faces alone move, and none before START.
                    moves = (1 - MOMENTUM) * ((lam == 1) & (trainer.step >= START * trainer.total)).float()
                    predicted = logits[:, :LABELS].detach().softmax(1)
                    moving.index_copy_(0, rows, moving[rows] + moves * (predicted - moving[rows]))
                    aims = torch.cat([SHARE * moving[rows] + (1 - SHARE) * given[rows], shares[rows]], 1)
                    aims = lam * aims + (1 - lam) * aims.roll(1, 0)
                    label = soft_cross_entropy(logits[:, :LABELS], aims[:, :LABELS])
                    return label + 2 * soft_cross_entropy(logits[:, LABELS:], aims[:, LABELS:])

                trainer.minimise(batch, loss_of)

        graphs.append(Graph(work, device))
        say(f"captured {name}, {sum(each.numel() for each in trainer.parameters) / 1e6:.2f} M parameters")

    def one_round() -> None:
        for graph in graphs:
            graph.replay()

    run_rounds(one_round, list(trainers.values()), until, device)
    return trainers


@dataclass
class Bank:
    """Augmented faces uint8 (M, 44, 44); float16 targets (M, 24): the teachers' label, the label, the votes."""

    images: Tensor
    targets: Tensor


@torch.no_grad()
def make_bank(train: Faces, teachers: list[nn.Module], until: float, device: torch.device) -> Bank:
    """Let teachers predict augmented faces and their mirror images until then."""
    labels, shares = train.one_hot, train.shares
    images, targets = [], []
    number = 0
    while number < 2 or (time.monotonic() < until and number < 120):
        for rows in torch.randperm(len(train.images), device=device).split(2048):
            pixels = warp(train.images[rows])
            aims = torch.cat([labels[rows], shares[rows]], 1)
            if number % 4 == 3:
                # Every fourth pass is mixed: faces between faces, of which teachers know more than labels do.
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


def train_students(bank: Bank, seeds: int, until: float, device: torch.device) -> dict[str, Trainer]:
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
        shown.copy_(erased(normalised(degrade(torch.where(uniform(size, 0, 1, device) < 0.5, pixels.flip(3), pixels)))))
        wanted.copy_(bank.targets[rows])
        turn.add_(1)

    feeder = Graph(feed, device)
    trainers, graphs = {}, []
    for name in STUDENTS:
        for seed in range(seeds):
            torch.manual_seed(1000 + seed)
            trainer = trainers[f"{name}-{seed}"] = Trainer(shipped(name), 0.1, 2.5e-4, device)

            def work(trainer: Trainer = trainer) -> None:
                for step in range(CHUNK):
                    part = slice(step * BATCH, (step + 1) * BATCH)

                    def loss_of(logits: Tensor, aims: Tensor = wanted[part]) -> Tensor:
                        own = logits[:, :LABELS]
                        soft = TEMPERATURE**2 * soft_cross_entropy(own / TEMPERATURE, aims[:, :LABELS])
                        hard = soft_cross_entropy(own, aims[:, LABELS : 2 * LABELS])
                        votes = soft_cross_entropy(logits[:, LABELS:], aims[:, 2 * LABELS :])
                        return ALPHA * soft + (1 - ALPHA) * hard + 2 * votes

                    trainer.minimise(shown[part], loss_of)

            graphs.append(Graph(work, device))
    say(f"captured {len(graphs)} students")

    def one_round() -> None:
        for graph in graphs:
            feeder.after(graph)
        feeder.replay()
        for graph in graphs:
            graph.after(feeder)
            graph.replay()

    run_rounds(one_round, list(trainers.values()), until, device)
    return trainers


@torch.no_grad()
def predict(network: nn.Module, faces: Faces) -> Tensor:
    """Probabilities of the label and of the votes, (N, 17), one view."""
    logits = torch.cat([network(centre_crop(each)).float() for each in faces.images.split(512)])
    return torch.cat([logits[:, :LABELS].softmax(1), logits[:, LABELS:].softmax(1)], 1)


def measure(answers: Tensor, faces: Faces) -> str:
    """Accuracy of the label, and by FER+'s majority."""
    label = (answers[:, :LABELS].argmax(1) == faces.labels).float().mean()
    votes = torch.where(faces.votes == 1, 0.0, faces.votes)
    most, majority = votes.max(1)
    counted = (2 * most > votes.sum(1)) & (majority < 8)
    right = (answers[:, LABELS : LABELS + 8].argmax(1) == majority)[counted]
    return f"label {float(label):.4f} ferplus {float(right.float().mean()):.4f}"


def write(network: nn.Module, steps: int, file: Path) -> None:
    """The weights in fp16, whole or not at all; beside a student's, what it went on from and who taught it."""
    facts: dict[str, Any] = {"epoch": steps}
    if file.stem in STUDENTS:
        former = SHIPPED / file.stem / "best.safetensors"
        with safetensors.safe_open(former, "pt") as stream:
            facts = json.loads(stream.metadata()["mien.facts"]) | facts
        teachers = [sha256(each) for each in sorted(file.parent.glob("teacher-*.safetensors"))]
        facts |= {"started_from": sha256(former), "taught_by": teachers}
        facts = {key: value for key, value in facts.items() if key not in ("sha256", "soup_of")}
    tensors = {key: value.half() if value.dim() > 1 else value for key, value in network.state_dict().items()}
    dense = {key: value.cpu().contiguous() for key, value in tensors.items()}
    aside = file.with_suffix(".part")
    safetensors.torch.save_file(dense, aside, {"mien.facts": json.dumps(facts)})
    aside.replace(file)


def main() -> int:
    """Do all. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=550.0, help="for all three parts together, the imports not counted"
    )
    parser.add_argument("--limit", type=int, default=0, help="so many faces of each split, for a rehearsal")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    device = torch.device(given.device)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    train, validation = read(given.data, device, given.limit)
    say(f"read {len(train.images)} and {len(validation.images)} faces")
    left = given.seconds - (time.monotonic() - started)

    def at(share: float) -> float:
        """When so much of the time is over."""
        return started + given.seconds - (1 - share) * left

    def finish(trainers: dict[str, Trainer], kept: dict[str, str], title: str) -> list[nn.Module]:
        networks = {name: trainer.averaged(train) for name, trainer in trainers.items()}
        for name, file in kept.items():
            write(networks[name], int(trainers[name].step), given.out / f"{file}.safetensors")
        answers = {name: predict(network, validation) for name, network in networks.items()}
        answers[f"mean of {title}"] = torch.stack(list(answers.values())).mean(0)
        for name, each in answers.items():
            say(f"{name}: {measure(each, validation)}")
        return list(networks.values())

    names = {name: f"teacher-{name}" for name in TEACHERS}
    teachers = finish(train_teachers(train, at(0.48), device), names, "teachers")
    bank = make_bank(train, teachers, at(0.57), device)
    # What is left is for their last measurement.
    finish(train_students(bank, given.seeds, at(0.95), device), {f"{name}-0": name for name in STUDENTS}, "students")
    return 0


if __name__ == "__main__":
    sys.exit(main())
