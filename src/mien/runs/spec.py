"""A study as a typed, strict value: recipes, seeds and comparisons. ``studies/*.toml`` are built in."""

import os
from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from mien.base.errors import DataError, RecipeError, StudyError, nearest
from mien.base.files import expand_home
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe, Settings, as_pairs, dotted, load_recipe, name_of_file, tuned
from mien.base.recipe_tables import StrictModel
from mien.base.run_folder import RunFolder, find_run, is_shipped
from mien.base.spec_file import SpecKind, is_path, toml_value
from mien.evaluation.named_metrics import NamedMetric, find_metrics
from mien.evaluation.predictions import Predictions

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]


def _name_of_own(given: Any) -> Any:
    """Return the name of a user's own metric, ``{ file = "parts.py", name = "mine" }`` -> ``"parts.py:mine"``."""
    is_own = isinstance(given, Mapping) and set(given) == {"file", "name"}
    return f"{given['file']}:{given['name']}" if is_own else given


MetricName = Annotated[str, BeforeValidator(_name_of_own)]
"""A name for :func:`mien.evaluation.named_metrics.find_metric`."""

_KIND = SpecKind("study", "studies", StudyError)


class Variant(StrictModel):
    """One row of the table: a recipe trained once per seed, or another row's predictions after merging classes."""

    name: Name
    title: str = ""
    recipe: str = Field(default="", description="name of a recipe; default: the study's")
    set: dict[str, Any] = Field(
        default={},
        description="changed keys of the recipe, e.g. {optim.lr = 0.01}; a new model replaces the whole table",
    )
    seeds: Seeds | None = Field(default=None, description="default: the study's")
    init_from: str = Field(
        default="", alias="from", description="initial weights: a variant with the same seed, or a built-in model"
    )
    after: str = Field(default="", description="not trained: merge the predictions of this variant into `classes`")
    classes: str = Field(default="", description="with `after`: the label scheme to merge into")
    published: dict[str, float] = Field(default={}, description="the published value of each metric")
    note: str = Field(default="", description="a sentence for the page")


class ComparisonSpec(StrictModel):
    """Variants compared with a baseline, on the samples that all of them have predictions for."""

    title: str
    variants: Annotated[tuple[str, ...], Field(min_length=2)]
    baseline: str
    classes: str = Field(default="", description="label scheme that first merges the predictions")


class Study(StrictModel):
    """Recipes over seeds in one table. Merged rows and comparisons are computed from stored predictions."""

    name: Name
    title: str
    question: str = ""
    recipe: str
    seeds: Seeds = (0,)
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = ("accuracy", "macro_f1", "macro_auc")
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    comparisons: tuple[ComparisonSpec, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> "Study":
        self._check_unique()
        self._check_metrics_and_schemes()
        for number, variant in enumerate(self.variants):
            self._check_variant(variant, above=[each.name for each in self.variants[:number]])
        for comparison in self.comparisons:
            self._check_comparison(comparison)
        return self

    def _check_unique(self) -> None:
        for what, several in (
            ("variants are called", [variant.name for variant in self.variants]),
            ("seeds are", self.seeds),
            *(("seeds are", variant.seeds or ()) for variant in self.variants),
        ):
            twice = next((each for each in several if list(several).count(each) > 1), None)
            if twice is not None:
                raise ValueError(f"two {what} '{twice}'")

    def _check_metrics_and_schemes(self) -> None:
        try:
            _ = self.named_metrics
            for scheme in [each.classes for each in self.variants] + [each.classes for each in self.comparisons]:
                parse_scheme(scheme or "all")
        except DataError as error:
            raise ValueError(str(error)) from None

    @property
    def named_metrics(self) -> dict[str, NamedMetric]:
        """The metrics by key. Raises DataError: there is no such metric, or two have one name."""
        return {each.key: each for each in find_metrics(self.metrics)}

    def _check_variant(self, variant: Variant, above: Sequence[str]) -> None:
        who = f"the variant '{variant.name}'"
        for other, word in ((variant.init_from, "from"), (variant.after, "after")):
            # Variants must follow those that they build on, so that they can run in this order.
            if other and other not in above and not (word == "from" and is_shipped(other)):
                what = "a built-in model or a variant" if word == "from" else "a variant"
                raise ValueError(f"{who} has {word} = '{other}', which is not {what} listed before it")
        for metric, value in variant.published.items():
            if metric not in self.named_metrics:
                hint = nearest(metric, self.named_metrics).rstrip(".")
                raise ValueError(f"{who} has a published value of '{metric}', which is not in metrics.{hint}")
            if self.named_metrics[metric].bounded and not 0 <= value <= 1:
                raise ValueError(f"{who} has a published {metric} of {value:g}; 61% is 0.61")
        if bool(variant.after) != bool(variant.classes):
            raise ValueError(f"{who} needs 'after' and 'classes', or none of them")
        if variant.after and (variant.recipe or variant.set or variant.init_from or variant.seeds):
            raise ValueError(f"{who} has 'after', so it is not trained: remove its recipe, set, from and seeds")
        if variant.after and self.variant(variant.after).after:
            raise ValueError(f"{who} merges '{variant.after}', which is itself merged")
        if variant.init_from in above and (
            missing := set(self.seeds_of(variant)) - {*self.seeds_of(self.variant(variant.init_from))}
        ):
            raise ValueError(f"{who} has the seed {min(missing)}, which '{variant.init_from}', where it starts, lacks")

    def _check_comparison(self, comparison: ComparisonSpec) -> None:
        who, names = f"the comparison '{comparison.title}'", [variant.name for variant in self.variants]
        for name in (*comparison.variants, comparison.baseline):
            if name not in names:
                raise ValueError(f"{who} names '{name}', which is not a variant")
        if comparison.baseline not in comparison.variants:
            raise ValueError(f"{who} has the baseline '{comparison.baseline}', which is not among its variants")

    def check_classes(self, of_data: tuple[str, ...], changes: Settings, comparisons: Sequence[ComparisonSpec]) -> None:
        """Check metrics and these comparisons before any training, for data of these classes.

        Raises StudyError: a metric's class is unknown, or those of a comparison differ; DataError: an own metric fails.
        """

        def merged(scheme: str, before: tuple[str, ...]) -> tuple[str, ...]:
            found = parse_scheme(scheme or "all")
            return before if found is None else found.classes

        classes: dict[str, tuple[str, ...]] = {}
        for each in self.variants:
            scheme = each.classes if each.after else self.recipe_of(each, self.seeds_of(each)[0], changes).classes
            classes[each.name] = merged(scheme, classes.get(each.after, of_data))
        known = {*of_data, *chain(*classes.values(), *(merged(each.classes, ()) for each in self.comparisons))}
        for metric in self.named_metrics:
            name = metric.partition(".")[2]
            if name and name not in known:
                words = f"The metric '{metric}' names a class that no variant is trained on." + nearest(name, known)
                raise StudyError(words, code="study-value")
        for names, tried in product({*classes.values()}, self.named_metrics.values()):
            ids, count = np.arange(20 * len(names)), len(names)
            made_up = (np.eye(count)[ids % count] + 1 / count) / 2
            tried.value(Predictions(ids, ids % count, made_up, names, "all", ""))
        for comparison in comparisons:
            if not comparison.classes and len({classes[name] for name in comparison.variants}) > 1:
                words = f"Variants of the comparison '{comparison.title}' have different classes. Merge those of all, "
                raise StudyError(f'{words}as with: classes = "three"', code="study-value")

    def changed(self, recipe: str | None, changes: Sequence[tuple[str, Any]]) -> "Study":
        """Return the study with another recipe, new names, no published values, and changed settings in its title."""
        if recipe is None and not changes:
            return self
        shown = [f"{key}={value if isinstance(value, str) else toml_value(value)}" for key, value in changes]
        shown = [*([] if recipe is None else [f"recipe {recipe}"]), *shown]
        update: dict[str, Any] = {"title": f"{self.title} (changed: {', '.join(shown)})"}
        if recipe is not None:
            variants = tuple(each.model_copy(update={"published": {}}) for each in self.variants)
            update |= {"name": f"{self.name}-{name_of_file(recipe)}", "recipe": recipe, "variants": variants}
        return self.model_copy(update=update)

    def restricted(self, names: Sequence[str]) -> "Study":
        """Return the study with only these variants (all without names) and those that they build on; StudyError."""
        if not names:
            return self
        seeds = {name: self.seeds_of(self.variant(name)) for name in names}
        for variant in reversed(self.variants):  # variants follow those that they build on
            for source in (variant.init_from, variant.after) if variant.name in seeds else ():
                seeds[source] = tuple(dict.fromkeys((*seeds.get(source, ()), *seeds[variant.name])))
        variants = tuple(
            each if each.after else each.model_copy(update={"seeds": seeds[each.name]})
            for each in self.variants
            if each.name in seeds
        )
        comparisons = tuple(
            each.model_copy(update={"variants": tuple(name for name in each.variants if name in seeds)})
            for each in self.comparisons
            if each.baseline in seeds and len(seeds.keys() & each.variants) > 1
        )
        return self.model_copy(update={"variants": variants, "comparisons": comparisons})

    @property
    def trained(self) -> tuple[Variant, ...]:
        """The variants that are trained, not merged."""
        return tuple(variant for variant in self.variants if not variant.after)

    def variant(self, name: str) -> Variant:
        """Return the variant with this name. Raises :class:`StudyError` if there is none."""
        variants = {variant.name: variant for variant in self.variants}
        if name not in variants:
            words = f"The study '{self.name}' has no variant '{name}'.{nearest(name, variants)}"
            raise StudyError(words, code="study-value")
        return variants[name]

    def seeds_of(self, variant: Variant) -> tuple[int, ...]:
        """Return the seeds of a variant: its own, those of the variant that it merges, or the study's."""
        return self.seeds_of(self.variant(variant.after)) if variant.after else variant.seeds or self.seeds

    def recipe_of(self, variant: Variant, seed: int, changes: Settings = ()) -> Recipe:
        """Return the recipe of one run.

        ``changes``, on top of the variant's settings, are ``key=value`` or ``variant:key=value``, which changes only
        that variant. Raises RecipeError for an unknown key, an impossible value or a missing file, StudyError for a key
        that only the study sets, or an unknown variant.
        """
        for_all, for_one = self._changes_of(variant, changes)
        both = [*for_all, *for_one]
        for key in (*variant.set, *dict(both)):
            if key in {"name", "seed"}:
                raise StudyError(f"The study sets '{key}' itself; change the seeds in its file.", code="study-value")
        # Keep the other keys of a table, except for a named model, because another network has other settings.
        own = [*dotted(variant.set, lambda key, value: key == "model" and "name" in value).items()]
        fixed = [("name", f"{self.name}-{variant.name}"), ("seed", seed)]
        recipe = load_recipe(variant.recipe or self.recipe, [*own, *both, *fixed])
        if variant.init_from:
            model = self.model_of(variant)
            if model is None:
                return tuned(recipe, self.recipe_of(self.variant(variant.init_from), seed, changes), [*own, *for_one])
            # If there is no parent, apply the changes for all variants here.
            recipe = tuned(recipe, model.read_recipe(), [*own, *both])
        recipe.check_files()
        return recipe

    def model_of(self, variant: Variant) -> RunFolder | None:
        """Return the built-in model that a variant starts from; None for a parent variant or random weights."""
        above = [each.name for each in self.variants[: self.variants.index(variant)]]
        return find_run(variant.init_from) if variant.init_from and variant.init_from not in above else None

    def _changes_of(self, variant: Variant, changes: Settings) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
        """Split changes: return those for all variants, and those for this variant."""
        for_all, for_one = list[tuple[str, Any]](), list[tuple[str, Any]]()
        for given, value in as_pairs(changes):
            name, colon, key = map(str.strip, given.partition(":"))
            if not colon:
                for_all.append((given, value))
                continue
            if merged := self.variant(name).after:
                words = f"--set {given}: '{name}' is not trained; it merges '{merged}'."
                raise StudyError(words, code="study-value")
            if name == variant.name:
                for_one.append((key, value))
        return for_all, for_one


def study_names() -> list[str]:
    """Return the names of the built-in studies."""
    return _KIND.names()


def load_study(name: str | os.PathLike[str]) -> Study:
    """Load a study by name or from a ``.toml`` file, and check every recipe in it.

    Raises StudyError: no such study, invalid TOML, an unknown key, or contradicting variants; RecipeError: a variant
    sets an unknown or impossible key, or names a missing file.
    """
    return parse_study(_KIND.read(name), str(name), expand_home(name).parent)


def parse_study(text: str, origin: str, folder: Path = Path()) -> Study:
    """Parse and check a study's TOML text. Paths in it are relative to ``folder``."""
    named = dict.fromkeys(("name", "title"), name_of_file(origin)) if is_path(origin) else {}
    study = _KIND.check(Study, {**named, **_beside(folder, _KIND.parse(text, origin))}, origin)
    for variant in study.trained:
        try:
            study.recipe_of(variant, study.seeds_of(variant)[0])
        except RecipeError as error:
            raise RecipeError(f"The variant '{variant.name}' of the study {origin}: {error}", code=error.code) from None
    return study


def _beside(folder: Path, value: Any, key: str = "") -> Any:
    """Return a study's content with all paths of recipes and of users' own files in ``folder``."""
    if isinstance(value, Mapping):
        return {inner: _beside(folder, each, inner) for inner, each in value.items()}
    if isinstance(value, list):
        return [_beside(folder, each, key) for each in value]
    if not isinstance(value, str) or not value:
        return value
    is_file = key.rpartition(".")[2] == "file" or (key == "recipe" and is_path(value))
    return str(folder / value) if is_file or (key == "metrics" and ".py:" in value) else value
