import torch

from mien.labels import parse_scheme
from mien.models.registry import build_model
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.state import begin_from


def test_fine_tuning_takes_weights_and_the_rows_of_shared_classes(tmp_path, faces, tiny_recipe, tiny_run):
    scheme = "happy=happy,glum=sad+angry"
    few = faces.with_scheme(parse_scheme(scheme))
    network = build_model(tiny_recipe.model, 2, 44)
    fresh = network.head.weight.clone()
    begin_from(network, few.classes, tiny_run)
    trained, facts = checkpoint.load(tiny_run.best)
    assert torch.equal(network.stem[0].weight, trained["stem.0.weight"])
    assert torch.equal(network.head.weight[0], trained["head.weight"][facts["classes"].index("happy")])
    assert torch.equal(network.head.weight[1], fresh[1])
    outcome = train(
        tiny_recipe.model_copy(update={"classes": scheme}), faces, RunFolder(tmp_path / "tuned"), start=tiny_run
    )
    assert outcome.history
