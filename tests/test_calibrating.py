"""The temperature that a training leaves in the card, and what it does to a map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_training import recipe_of, write_patches

from catalogs.root import Root
from cluster.training import alone
from models.calibration import fit_temperature
from models.errors import Misfit
from models.predictor import NetworkPredictor, load_predictor
from pipelines.calibrating import sampled_pixels
from pipelines.checkpoints import read_checkpoint
from pipelines.patch_reading import PatchReader
from pipelines.training_loop import train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    root = write_patches(Root(str(tmp_path_factory.mktemp("patches"))))
    train(recipe_of(root), alone())
    return root


def test_a_training_fits_its_temperature_on_the_patches_that_it_does_not_learn_from(root: Root) -> None:
    state, card = read_checkpoint(root, "season")
    predictor = load_predictor(state, card)
    assert isinstance(predictor, NetworkPredictor)
    recipe = recipe_of(root)
    logits, truth = sampled_pixels(predictor, PatchReader(root), recipe.validation, recipe.training.seed)
    assert set(np.unique(truth)) == {0, 1, 2, 3}
    assert card.temperature == pytest.approx(fit_temperature(logits, truth).value, abs=1e-5)
    found = card.scores["calibration_error"]
    assert 0 <= found["with_temperature"] < found["as_trained"]


def test_a_temperature_changes_how_sure_a_map_is_and_no_crop(root: Root, tmp_path: Path) -> None:
    state, card = read_checkpoint(root, "season")
    scores = card.scores
    picture = next(iter(PatchReader(root).stream([33])))[0].copy()
    maps = {
        temperature: load_predictor(state, replace(card, scores=scores | {"temperature": temperature})).predict(picture)
        for temperature in (0.5, 1.0, 4.0)
    }
    assert all(np.array_equal(answer.crop, maps[1.0].crop) for answer in maps.values())
    cold, usual, hot = (maps[temperature].confidence.astype(int) for temperature in (0.5, 1.0, 4.0))
    assert (cold >= usual).all() and (usual >= hot).all() and cold.mean() > usual.mean() > hot.mean()


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf")])
def test_a_temperature_that_cannot_be(root: Root, temperature: float) -> None:
    _, card = read_checkpoint(root, "season")
    with pytest.raises(Misfit, match="temperature"):
        replace(card, scores={"temperature": temperature})
