"""Splits: their names, the samples that must stay together, and the cut of a missing validation split.

Groups of samples are images of one person, video or session. ``--group`` gives a column of the data or a pattern: a
regular expression with one group, searched in each file name. Class folders have columns ``folder1``, ``folder2``, ...
for the folders below the class.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Array, Bools, Ints, Pixels, Texts, join_groups, missing
from mien.base.errors import DataError, RunError, nearest
from mien.base.files import cache_folder, whole_file
from mien.base.labels import composed
from mien.base.preprocess import grey_square
from mien.data.image_store import convert, take
from mien.near_copies.finder import MIN_CONTRAST, contrast, find_near_copies

VALIDATION_SHARE = 0.15
NO_CUT = "no validation split, because no class has two different images"
CUT_ORIGIN = f"stratified cut of {VALIDATION_SHARE:.0%} of train, near-copies kept together"
OFFICIAL_ORIGIN = "official FER2013 splits"

GROUP_COLUMN = "group"
"""Name of the column for groups that come from a pattern or from arrays."""

_SIDE_PX = 48
"""Larger images are compared at this size. This size is enough to find copies, and limits time and memory."""

_CACHED_FROM = 200
"""Groups are cached from this number of images on; fewer are compared quickly."""

_KEPT = 50
_FINDER_VERSION = 3
"""Version of the finder. Increase it when the finder finds other copies than before; this invalidates cached groups."""

_OFFICIAL = {"training": "train", "publictest": "validation", "privatetest": "test"}
_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "public", "publictest"),
    "test": ("test", "testing", "private", "privatetest"),
}
_CANONICAL = {word: split for split, words in _SYNONYMS.items() for word in words}


def canonical_split(name: str) -> str | None:
    """Return the split that a name means, or None: ``"PublicTest"`` or ``"Val"`` -> ``"validation"``."""
    return _CANONICAL.get(re.sub(r"[\s_-]+", "", name).lower())


def is_official(names: Iterable[str]) -> bool:
    """Return whether these are FER2013's own names (Training, PublicTest, PrivateTest), at least two of the three."""
    words = {re.sub(r"[\s_-]+", "", name).lower() for name in names}
    return len(words) > 1 and words <= _OFFICIAL.keys()


def group_identical(images: Pixels) -> Ints:
    """Give identical images the same group number, a rank in a fixed random order: uint8 (N, ...) -> int64 (N,)."""
    digests = [_rank(image.tobytes()) for image in np.asarray(images)]
    rank = {digest: index for index, digest in enumerate(sorted(set(digests)))}
    return np.array([rank[digest] for digest in digests], dtype=np.int64)


def near_copy_groups(images: Pixels) -> Ints:
    """Give near-copies (mirrored, shifted, cropped, recompressed or brighter images) the same group number.

    uint8 (N, S, S[, 3]) -> int64 (N,). Near-copies are transitive: if A is near B and B near C, all three form one
    group. For FER2013 this takes half a minute the first time; later the groups are read from the user's cache folder.
    """
    small = _small(images)
    if len(small) < _CACHED_FROM:
        return _find(small)
    digest = hashlib.sha256(f"{_FINDER_VERSION} {small.shape}".encode())
    digest.update(np.ascontiguousarray(small).data)
    file = cache_folder("copies") / f"{digest.hexdigest()[:32]}.npy"
    with suppress(OSError, ValueError, EOFError), file.open("rb") as stream:
        kept = np.load(stream, allow_pickle=False)
        if kept.shape == (len(small),) and kept.dtype == np.int64:
            return np.asarray(kept)
    groups = _find(small)
    # If the cache cannot be written, the groups are simply computed again.
    with suppress(RunError, OSError):
        with whole_file(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, groups, allow_pickle=False)
        for old in sorted(file.parent.glob("*.npy"), key=lambda each: each.stat().st_mtime)[:-_KEPT]:
            old.unlink()
    return groups


def split_groups(images: Pixels, groups: Array | None, copies: Ints | None = None) -> Array:
    """Return the groups (N,) that no split may divide: near-copies, joined with the data's own, such as people.

    ``groups`` are names or numbers; joined groups get the first of theirs. Blank images join no groups.
    """
    copies = near_copy_groups(images) if copies is None else copies
    if groups is None:
        return copies
    names, number = np.unique(groups, return_inverse=True)
    blank = contrast(_small(images)) < MIN_CONTRAST
    copies = np.where(blank, copies.max(initial=0) + 1 + np.arange(len(images)), copies)
    return np.asarray(names[join_groups(len(images), number, copies)])


def _find(images: Pixels) -> Ints:
    images = np.asarray(images)  # indexing a memory map is slower than indexing an array
    return find_near_copies(images, group_identical(images)).groups


def _small(images: Pixels) -> Pixels:
    if images.ndim == 3 and images.shape[1] == images.shape[2] <= _SIDE_PX:
        return images
    side = min(*images.shape[1:3], _SIDE_PX)
    return convert(images, lambda block: np.stack([grey_square(image, side) for image in block]), (side, side))


def cut_validation(images: Pixels, labels: Ints, copies: Ints | None = None) -> Bools:
    """Choose validation faces, bool (N,): :data:`VALIDATION_SHARE` of every class, with copies on the same side.

    The label of a group of copies (None: of identical images) is its most frequent one (the rarer class at a tie). A
    class with two or more groups is in both splits; a class with one group stays in train.
    """
    groups = group_identical(images)
    if copies is not None:
        first = np.full(int(copies.max()) + 1, len(images), dtype=np.int64)
        np.minimum.at(first, copies, groups)
        groups = np.unique(first[copies], return_inverse=True)[1]
    votes = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (groups, labels), 1)
    sizes = votes.sum(axis=1)
    rarity = 1.0 / (votes.sum(axis=0) + 1.0)  # the term is less than 1, so it decides only ties
    class_of_group = np.argmax(votes + rarity, axis=1)
    chosen = np.zeros(len(sizes), dtype=np.bool_)
    for label in np.unique(class_of_group):
        members = np.flatnonzero(class_of_group == label)
        if len(members) < 2:
            continue
        room = VALIDATION_SHARE * int(sizes[members].sum())
        for group in members:
            if sizes[group] <= room:
                chosen[group] = True
                room -= int(sizes[group])
        if not chosen[members].any():
            chosen[members[np.argmin(sizes[members])]] = True
    return chosen[groups]


def cut_groups(groups: Array, labels: Ints, share: float = VALIDATION_SHARE) -> Bools:
    """Choose validation faces, bool (N,), by whole groups, so that every class has about the same share there.

    Groups are visited in a random order that depends only on their names. A group is added if the fractions of the
    classes then come closer to ``share``. For each class that is still missing, the group that changes the fractions
    least is added. A group that holds every face of a class stays in train.
    """
    names, number, counts = count_by_group(groups, labels)
    total = counts.sum(axis=0)
    parts = np.maximum(total, 1)
    chosen, taken = np.zeros(len(names), dtype=np.bool_), np.zeros_like(total)

    def cost(added: Ints) -> float:
        """Return how far the fractions are from ``share`` with this group; infinite if train would lose a class."""
        after = taken + added
        if ((after == total) & (total > 0)).any():
            return float("inf")
        return float(np.square((after - share * total) / parts).sum())

    for group in sorted(range(len(names)), key=lambda each: _rank(str(names[each]).encode("utf-8", "surrogateescape"))):
        if cost(counts[group]) < cost(np.zeros_like(total)):
            chosen[group] = True
            taken += counts[group]
    for label in np.flatnonzero(total > 0):
        if taken[label] == 0:
            best = min(np.flatnonzero((counts[:, label] > 0) & ~chosen).tolist(), key=lambda each: cost(counts[each]))
            if np.isfinite(cost(counts[best])):
                chosen[best] = True
                taken += counts[best]
    return np.asarray(chosen[number])


def cut_nearest_groups(groups: Array, labels: Ints) -> Bools:
    """Choose like :func:`cut_groups`, then bring the number of samples close to :data:`VALIDATION_SHARE`.

    Single groups change sides as long as this brings it closer and classes in both splits stay in both; of several such
    groups, the one that leaves the classes most even.
    """
    names, number, counts = count_by_group(groups, labels)
    chosen = np.zeros(len(names), dtype=np.bool_)
    chosen[number[cut_groups(groups, labels)]] = True
    total = counts.sum(axis=0)
    wanted = VALIDATION_SHARE * len(labels)
    while True:
        taken = counts[chosen].sum(axis=0)
        after = taken + counts * np.where(chosen, -1, 1)[:, np.newaxis]
        kept = (((after > 0) | (taken == 0)) & ((after < total) | (total == 0))).all(axis=1)
        # Allow half a sample of tolerance, so that rounding errors never count as closer.
        nearer = np.abs(after.sum(axis=1) - wanted) < abs(taken.sum() - wanted) - 0.5
        costs = (np.square(after - VALIDATION_SHARE * total) / np.maximum(total, 1)).sum(axis=1)
        costs[~(kept & nearer)] = np.inf
        change = int(np.argmin(costs))
        if not np.isfinite(costs[change]):
            return np.asarray(chosen[number])
        chosen[change] ^= True


def count_by_group(groups: Array, labels: Ints) -> tuple[Array, Ints, Ints]:
    """Return the names of G groups, each sample's group (N,), and the number of faces per group and class (G, C)."""
    names, number = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(counts, (number, labels), 1)
    return names, number, counts


def deal_groups(groups: Ints, labels: Ints, count: int) -> Ints:
    """Assign groups to folds with an even spread of classes, like scikit-learn's StratifiedGroupKFold.

    Groups with the most uneven classes come first. Each group goes to the fold where it keeps the classes most even.
    Returns the fold of each sample, int64 (N,), 0..count-1; every fold has a group.
    """
    _, number, counts = count_by_group(groups, labels)
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = counts / counts.sum(axis=0)
    shuffled = np.random.default_rng(0).permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].std(axis=1), kind="stable")]
    held, sizes = np.zeros((count, shares.shape[1])), np.zeros(count)
    fold_of = np.zeros(len(counts), dtype=np.int64)
    for done, group in enumerate(order):
        # Add the group's shares to each fold in turn: (candidate, fold, class).
        uneven = np.round((held + np.eye(count)[:, :, np.newaxis] * shares[group]).std(axis=1).mean(axis=1), 12)
        uneven[(sizes > 0) & (len(order) - done <= (sizes == 0).sum())] = np.inf  # an empty fold must get a group
        fold = int(np.lexsort((sizes, uneven))[0])
        fold_of[group] = fold
        held[fold] += shares[group]
        sizes[fold] += counts[group].sum()
    return np.asarray(fold_of[number])


def check_class_groups(groups: Array, labels: Ints, classes: Sequence[str], *, named: bool = True) -> None:
    """Raise a DataError (``class-too-small``) if one group holds every face of a class, which one split would lack."""
    names, _, counts = count_by_group(groups, labels)
    holders = (counts > 0).sum(axis=0)
    for label in np.flatnonzero((holders > 0) & (holders < 2)).tolist():
        own = names[counts[:, label] > 0][0]
        words = f"'{classes[label]}' has 1 image, or copies of 1; a split needs 2."
        if named:
            words = f"The group '{own}' holds every face of '{classes[label]}', so one side of a split would lack it."
        raise DataError(f"{words} Merge the class: --map.", code="class-too-small")


def _rank(content: bytes) -> bytes:
    """Return a hash that serves as the rank in a random order. With another key, other samples would be chosen."""
    return hashlib.blake2b(content, digest_size=16, key=b"0").digest()


def settle_splits(
    split: Texts, origin: str, images: Pixels, labels: Ints, *, groups: Array | None = None, classes: Sequence[str] = ()
) -> tuple[Texts, str]:
    """Cut a validation split where one is missing; return the split of every face, and how the splits were formed.

    If there is no split (``""``), validation is cut from all faces, and there is no test. If there is train but no
    validation, part of train becomes validation. Data without train, for evaluation only, is unchanged. Groups are
    never divided, nor near-copies; for their errors, see :func:`check_class_groups`.
    """
    present = set(split.tolist())
    if present == {""}:
        trainable = np.ones(len(split), dtype=np.bool_)
        words = "{cut}; there is no test split"
    elif "train" in present and "validation" not in present:
        trainable = split == "train"
        words = f"{origin}; validation: {{cut}}"
    else:
        return split, origin
    settled = np.where(trainable, "train", split).astype("<U10")
    indices = np.flatnonzero(trainable)
    trained = take(images, indices)
    whole = split_groups(trained, None if groups is None else groups[indices])
    if groups is not None:
        check_class_groups(whole, labels[indices], classes)
        cut = cut_nearest_groups(whole, labels[indices])
        held_out, all_groups = (len(np.unique(each)) for each in (whole[cut], whole))
        how = f"{held_out:,} of {all_groups:,} groups, {cut.mean():.1%} of train, near-copies kept together"
    else:
        cut = cut_validation(trained, labels[indices], copies=whole)
        how = CUT_ORIGIN if cut.any() else NO_CUT
    settled[indices[cut]] = "validation"
    return settled, words.replace("{cut}", how)


def group_column(group: str, columns: Mapping[str, Array], source: Texts) -> tuple[str, dict[str, Array]]:
    """Add the column of groups, by its name or a pattern that is searched in ``source``; return its name and all
    columns.

    Raises DataError: no such column; a pattern without one group, or that does not match every name; a missing value.
    """
    if "(" not in str(group) and group not in columns:
        words = f"There is no column '{group}'; a pattern has parentheses: '(p[0-9]+)_'.{nearest(group, columns)}"
        raise DataError(words, code="columns")
    name = group if group in columns else GROUP_COLUMN
    values = columns[group] if group in columns else _matches(group, source)
    if values.dtype.kind == "U":  # compose Unicode, so that an accent in macOS's form makes no other group
        values = np.array([composed(each) for each in values.tolist()])
    _check_values(group, values, source)
    return name, {**columns, name: values}


def check_groups(values: npt.ArrayLike, count: int) -> Array:
    """Check the groups given with arrays, and return them as a column: text or whole numbers (N,). Raises DataError."""
    column = np.asarray(values)
    if column.dtype.kind == "O" and all(isinstance(each, str) for each in column.tolist()):
        column = column.astype(np.str_)
    if column.shape != (count,) or column.dtype.kind not in "iuU":
        found = f"{column.dtype} {column.shape}"
        raise DataError(f"groups must be text or whole numbers of shape ({count},); found {found}.", code="group")
    _check_values("groups", column, np.array([f"images[{index}]" for index in range(count)]))
    return column


def _check_values(name: str, values: Array, source: Texts) -> None:
    if values.ndim != 1:
        raise DataError(f"'{name}' has {values.shape[1]} values per sample; --group needs one.", code="group")
    unknown = np.flatnonzero(missing(values))
    if len(unknown):
        words = f"{source[unknown[0]]}: no value in '{name}', as in {len(unknown):,} of {len(values):,} samples."
        raise DataError(words, code="group")


def _matches(pattern: str, source: Texts) -> Texts:
    try:
        expression = re.compile(pattern)
        reason = f"it needs one pair of parentheses, found {expression.groups}; write others as (?:...)"
    except re.error as error:
        expression, reason = None, str(error)
    if expression is not None and expression.groups == 1:
        found = [expression.search(name) for name in source.tolist()]
        # A pattern such as '(a)|b' may match without a value for its group.
        names = [(match[1] or "") if match else "" for match in found]
        if any(names):
            return np.array(names, dtype=np.str_)
        reason = f"it matches none of {len(names):,} file names, such as {source[0]}"
    raise DataError(f"--group '{pattern}': {reason}.", code="group")
