"""Presto as it is trained: begun with official weights, whole or with its encoder left as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_training import CLASSES, PERIODS, recipe_of, write_patches
from published_presto import official_state
from safetensors.torch import save_file

from catalogs.root import Root
from cluster.training import alone
from models.predictor import load_predictor
from models.presto_settings import PrestoSettings
from pipelines.checkpoints import read_checkpoint
from pipelines.learner import first_network
from pipelines.pretrained import WeightsFile, read_pretrained
from pipelines.recipe import Recipe
from pipelines.training_loop import train


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_patches(Root(str(tmp_path_factory.mktemp("patches"))))


@pytest.fixture
def official(tmp_path: Path) -> WeightsFile:
    save_file(official_state(16, 2, 2), tmp_path / "presto.safetensors")
    return read_pretrained(str(tmp_path / "presto.safetensors")).file


def presto_recipe(root: Root, encoder: WeightsFile | None, **settings: object) -> Recipe:
    own = PrestoSettings(periods=PERIODS, classes=CLASSES, width=16, expansion=2, **settings)  # type: ignore[arg-type]
    recipe = recipe_of(root, epochs=1, learning_rate=0.01)
    card = replace(recipe.card, architecture="presto", settings=own.as_dict())
    return replace(recipe, card=card, encoder=encoder)


def test_presto_begins_with_official_weights_and_its_card_s_normalisation(patches: Root, official: WeightsFile) -> None:
    network = first_network(presto_recipe(patches, official))
    assert torch.equal(network.encoder.norm.weight, official_state(16, 2, 2)["encoder.norm.weight"])  # type: ignore
    torch.testing.assert_close(network.mean, torch.full((10,), 0.2))
    torch.testing.assert_close(network.spread, torch.full((10,), 0.1))


@pytest.mark.parametrize("frozen", [True, False])
def test_what_learns(patches: Root, official: WeightsFile, tmp_path: Path, frozen: bool) -> None:
    """And what was trained answers from its checkpoint alone."""
    (tmp_path / "patches.zarr").symlink_to(Path(patches.url) / "patches.zarr")
    recipe = replace(presto_recipe(patches, official, frozen=frozen), root=Root(str(tmp_path)))
    torch.manual_seed(recipe.training.seed)
    begun = first_network(recipe).state_dict()
    train(recipe, alone())
    weights, card = read_checkpoint(recipe.root, recipe.card.name)
    assert weights.keys() == begun.keys()
    learned = {name for name in weights if not torch.equal(weights[name], begun[name])}
    fixed = {name for name in weights if name in ("encoder.months", "encoder.positions")}
    assert learned == ({"head.weight", "head.bias"} if frozen else set(weights) - fixed)
    assert load_predictor(weights, card).stride == 1
