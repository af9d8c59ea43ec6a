"""``mien.show`` and ``mien.plot_embeddings``: draw faces, and a model's features of them."""

import os
from typing import Literal

import numpy as np

from mien.api.inputs import Data, Model, for_labels, read
from mien.base.arrays import Floats
from mien.base.errors import DataError, needs_extra
from mien.base.labels import colour_of
from mien.base.recipe import Recipe, load_recipe
from mien.data.dataset import FINGERPRINT_PX
from mien.data.synthetic import check_seed
from mien.page.chart import COLOURS, INK, Chart, shorten
from mien.page.plots import embedding_chart, face_sheet
from mien.pipeline.split_predictions import with_model_classes


def show(
    data: Data,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    faces_per_class: int = 8,
    seed: int = 0,
) -> Chart:
    """Draw a sheet of faces with a row for each class.

    Args:
        data: labelled faces.
        recipe: show faces cropped and augmented as in the training by this recipe; the first in each row is the
            original. Needs the extra ``train``.
        split: train, validation or test; default: all data, or train with a recipe.
        faces_per_class: largest number of faces of each class, at least 1, chosen at random.
        seed: random seed of the choice and the augmentation.

    Returns:
        The sheet, which a notebook displays and ``.save("faces.png")`` writes.

    Raises:
        DataError: no such split, no faces (``no-face``), images of another size than the recipe's, or a negative seed.
        MissingExtraError: matplotlib is not installed.
    """
    check_seed(seed)
    given = recipe if recipe is None or isinstance(recipe, Recipe) else load_recipe(str(recipe))
    faces = read(data, *((FINGERPRINT_PX, 1) if given is None else given.input.size_and_channels)).faces
    if given is not None:
        with needs_extra("train", "Augmented faces"):
            from mien.training.batches import as_shown
            from mien.training.plan import check_images
        check_images(faces, given)
        split = split or "train"
    faces = faces if split is None else faces.of_split(split)
    if faces_per_class < 1 or not len(faces):
        raise DataError(f"There are {len(faces)} faces, and faces_per_class is {faces_per_class}.", code="no-face")
    generator = np.random.default_rng(seed)
    images, captions = [], []
    for index, name in enumerate(faces.classes):
        mine = np.flatnonzero(faces.labels == index)
        if not len(mine):
            continue
        drawn = list(np.asarray(faces.images)[np.sort(generator.permutation(mine)[:faces_per_class])])
        if given is not None:
            drawn = [drawn[0], *as_shown(np.stack([drawn[0]] * faces_per_class), given, seed)[1:]]
        images += [*drawn, *[np.full_like(faces.images[0], 255)] * (faces_per_class - len(drawn))]
        captions += [shorten(name, 12), *[""] * (faces_per_class - 1)]  # only 12 letters fit above a face
    return face_sheet(images, captions, columns=faces_per_class)


MIN_FACES = 4
"""Fewer points make no picture, and t-SNE needs some."""


def plot_embeddings(
    model: Model,
    data: Data,
    *,
    method: Literal["pca", "tsne"] = "pca",
    color_by: Literal["class", "mistake"] = "class",
    split: str = "validation",
    max_faces: int = 3000,
    seed: int = 0,
) -> Chart:
    """Plot the embeddings of faces, ``Predictor.features``, in two dimensions.

    Args:
        model: a loaded model or its name or path.
        data: labelled faces.
        method: ``"pca"``, principal components; ``"tsne"``, t-SNE of scikit-learn (van der Maaten & Hinton 2008), which
            needs the extra ``sklearn``. Distances between clusters of t-SNE mean nothing.
        color_by: ``"class"``: the label; ``"mistake"``: whether the prediction is the label.
        split: train or validation. Only :func:`mien.evaluate` may use the test split.
        max_faces: at most so many faces, chosen at random.
        seed: seed of the choice and of t-SNE.

    Raises:
        DataError: no such method or colour, the test split (``options``), or fewer than 4 faces (``no-face``).
        ModelError: the model file has no features (``features-missing``).
        MissingExtraError: matplotlib or scikit-learn is not installed.
    """
    for name, value, known in (
        ("method", method, ("pca", "tsne")),
        ("color_by", color_by, ("class", "mistake")),
        ("split", split, ("train", "validation")),
    ):
        if value not in known:
            raise DataError(f"{name} is {' or '.join(known)}; found {value!r}.", code="options")
    predictor = for_labels(model)
    faces = read(data, *predictor.manifest.input.size_and_channels).faces.of_split(split)
    faces = with_model_classes(predictor, faces)
    if len(faces) < MIN_FACES:
        raise DataError(f"Embeddings need {MIN_FACES} faces of {split}; found {len(faces)}.", code="no-face")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(faces))[:max_faces])
    images, labels = np.asarray(faces.images)[chosen], faces.labels[chosen]
    features = predictor.features(images).astype(np.float64)
    points = pca(features) if method == "pca" else tsne(features, seed)
    if color_by == "class":
        groups = {
            name: (colour_of(name, index), np.flatnonzero(labels == index))
            for index, name in enumerate(faces.classes)
            if (labels == index).any()
        }
    else:
        correct = predictor.probabilities(images).argmax(axis=1) == labels
        groups = {"correct": (INK, np.flatnonzero(correct)), "mistake": (COLOURS[5], np.flatnonzero(~correct))}
    return embedding_chart(points, groups, {"pca": "principal component", "tsne": "t-SNE"}[method])


def pca(features: Floats) -> Floats:
    """Project features (N, D) onto their first two principal components: (N, 2)."""
    centred = features - features.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # Without a fixed sign, the picture could be mirrored on another machine.
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    return np.asarray(centred @ axes.T)


def tsne(features: Floats, seed: int) -> Floats:
    """Embed features (N, D) by t-SNE: (N, 2)."""
    with needs_extra("sklearn", "t-SNE"):
        from sklearn.manifold import TSNE
    perplexity = min(30.0, (len(features) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features))
