"""``mien.show``: draw a sheet of faces of each class, original or augmented as in training."""

import os

import numpy as np

from mien.api.inputs import Data, read
from mien.base.errors import DataError, needs_extra
from mien.base.recipe import Recipe, load_recipe
from mien.data.dataset import FINGERPRINT_PX
from mien.data.synthetic import check_seed
from mien.page.chart import Chart, shorten
from mien.page.plots import face_sheet


def show(
    data: Data,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    faces_per_class: int = 8,
    seed: int = 0,
) -> Chart:
    """Draw a sheet of faces with a row for each class. A notebook displays the sheet; ``.save("faces.png")`` writes it.

    Args:
        data: labelled faces.
        recipe: name, file or object of a recipe. Faces are then cropped and augmented as in its training; the first in
            each row is the original. Needs the extra ``train``.
        split: train, validation or test; default: all data, or train with a recipe.
        faces_per_class: largest number of faces per class, at least 1, chosen at random.
        seed: seed of the choice and the augmentation.

    Raises:
        DataError: no such split, no faces (``no-faces``), images of another size than the recipe's, or a negative seed.
        MissingExtraError: matplotlib is not installed.
    """
    check_seed(seed)
    given = recipe if recipe is None or isinstance(recipe, Recipe) else load_recipe(str(recipe))
    faces = read(data, *((FINGERPRINT_PX, 1) if given is None else given.input.size_and_channels)).faces
    if given is not None:
        with needs_extra("train", "Augmented faces"):
            from mien.training.augment import as_shown
            from mien.training.plan import check_images
        check_images(faces, given)
        split = split or "train"
    faces = faces if split is None else faces.of_split(split)
    if faces_per_class < 1 or not len(faces):
        raise DataError(f"There are {len(faces)} faces, and faces_per_class is {faces_per_class}.", code="no-faces")
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
