import torch

from mien.base.labels import parse_scheme
from mien.base.run_folder import RunFolder
from mien.models.registry import build_model
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.losses import make_outputs
from mien.training.plan import plan_training
from mien.training.state import load_init_weights


def test_fine_tuning_takes_weights_and_the_rows_of_shared_classes(tmp_path, faces, tiny_recipe, tiny_run):
    scheme = "happy=happy,glum=sad+angry"
    few = faces.with_scheme(parse_scheme(scheme))
    network = build_model(tiny_recipe.model, 2, 44)
    fresh = network.head.weight.clone()
    load_init_weights(network, make_outputs(tiny_recipe, few), tiny_run, tiny_recipe.input)
    trained, facts = checkpoint.load(tiny_run.best)
    assert torch.equal(network.stem[0].weight, trained["stem.0.weight"])
    assert torch.equal(network.head.weight[0], trained["head.weight"][facts["classes"].index("happy")])
    assert torch.equal(network.head.weight[1], fresh[1])
    outcome = train(
        plan_training(tiny_recipe.model_copy(update={"classes": scheme}), faces),
        RunFolder(tmp_path / "tuned"),
        init_from=tiny_run,
    )
    assert outcome.history
