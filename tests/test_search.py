"""The words that people type find their page in the built site's search; ``make docs-site`` builds it."""

import json
import re
from pathlib import Path

import pytest

INDEX = Path(__file__).parents[1] / "build" / "site" / "search" / "search_index.json"
if not INDEX.is_file():
    pytest.skip("the site is not built: make docs-site", allow_module_level=True)
BUILT = json.loads(INDEX.read_text(encoding="utf-8"))

SOUGHT = {
    "training": "early stopping, gradient clipping, deterministic, reproducible, random seed, class weights, "
    "focal loss, oversampling, class imbalance, show batch, data augmentation, mixup, learning rate finder, warmup, "
    "cosine schedule, unfreeze, freeze layers, fine-tune, transfer learning, pretrained backbone, ImageNet, "
    "cross-validation, k-fold, stratified, scikit-learn, mixed precision, multi gpu, tensorboard, resume",
    "sweep": "grid search, hyperparameter search, optuna",
    "extend": "custom loss, custom model, custom network, own optimiser, callback, Lightning",
    "evaluation": "ensemble, Cohen's kappa, F1 score, confusion matrix, calibration error, confidence interval, "
    "bootstrap, McNemar, top-2 accuracy, ROC AUC, test-time augmentation, temperature scaling",
    "report": "embeddings, t-SNE, features, top losses, LaTeX, BibTeX, cite, thesis",
    "explain": "Grad-CAM, saliency map, occlusion, heatmap",
    "data": "FER+, votes, class folders, parquet",
    "distillation": "quantization, int8, knowledge distillation, FLOPs",
    "predict": "CUDA, annotated images",
    "robustness": "corruptions",
    "serve": "docker, throughput",
    "web": "webcam",
}


def terms(text: str) -> list[str]:
    """The words of a text, as the search of the site splits them."""
    return re.split(BUILT["config"]["separator"], re.sub(r"<[^>]+>", " ", text).lower())


SECTIONS = [
    (each["location"].partition("/")[0], each.get("boost", 1.0), set(terms(each["title"])), terms(each["text"]))
    for each in BUILT["docs"]
]
"""Page, weight, words of the title and of the text of each section."""


def found_pages(query: str) -> list[str]:
    """Pages in the order of their best section: sections with all terms first, and titles before texts."""
    asked, scores = terms(query), {}
    for page, weight, title, text in SECTIONS:
        score, has = 0.0, 0
        for term in asked:
            in_title, count = any(word.startswith(term) for word in title), sum(word.startswith(term) for word in text)
            has += in_title or count > 0
            score += 10 * in_title / len(title) + count / (count + 1.2)
        if has:
            scores[page] = max(scores.get(page, 0.0), weight * score * (100 if has == len(asked) else 1))
    return sorted(scores, key=scores.__getitem__, reverse=True)


@pytest.mark.parametrize(
    ("query", "page"), [(query, page) for page, queries in SOUGHT.items() for query in queries.split(", ")]
)
def test_the_search_shows_the_page_among_its_first_three(query, page):
    assert page in found_pages(query)[:3]
