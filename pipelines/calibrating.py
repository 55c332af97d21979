"""How far a network's probabilities can be believed: a temperature from pixels that it did not learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from catalogs.taxonomy import IGNORE
from models.calibration import Temperature, fit_temperature, reliability
from models.predictor import NetworkPredictor, load_predictor
from pipelines.patch_reading import PatchReader
from pipelines.recipe import Recipe

MOST = 320
"""Patches, evenly through those that are given."""

SAMPLE = 200
"""Pixels of a patch: neighbours are one observation, not many."""

# Axis legend: T period, B band, Y row, X column, N pixel, K class.


def calibrated(recipe: Recipe, state: Mapping[str, Tensor], device: str) -> dict[str, Any]:
    """For the card: the temperature of the best epoch's network, and what it mends."""
    predictor = load_predictor(state, replace(recipe.card, scores={}), device)
    assert isinstance(predictor, NetworkPredictor)
    reader = PatchReader(recipe.root, *recipe.also)
    logits_NK, truth_N = sampled_pixels(predictor, reader, recipe.validation, recipe.training.seed)
    fitted = fit_temperature(logits_NK, truth_N)
    before, after = (_error(one.probabilities(logits_NK), truth_N) for one in (Temperature(1.0), fitted))
    return {
        "temperature": round(fitted.value, 6),
        "calibration_error": {"as_trained": round(before, 6), "with_temperature": round(after, 6)},
    }


def _error(p_NK: NDArray[np.float64], truth_N: NDArray[np.int64]) -> float:
    return reliability(p_NK.max(axis=1), p_NK.argmax(axis=1) == truth_N).error


def sampled_pixels(
    predictor: NetworkPredictor, reader: PatchReader, members: Sequence[int], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits and truth (N, K) and (N) of some pixels of some patches; which, only the seed decides."""
    rng, card = np.random.default_rng(seed), predictor.card
    logits, truths = [], []
    for picture_TBYX, crop_YX in reader.stream(members[:: -(-len(members) // MOST)]):
        used_TBYX = picture_TBYX[list(card.period_index)]
        y, x = np.nonzero((crop_YX != IGNORE) & used_TBYX.any(axis=(0, 1)))
        drawn = rng.choice(len(y), min(SAMPLE, len(y)), replace=False)
        answer_KYX = predictor.logits(used_TBYX)[0].float().cpu().numpy()
        logits.append(answer_KYX[:, y[drawn], x[drawn]].T)
        truths.append(crop_YX[y[drawn], x[drawn]])
    return np.concatenate(logits).astype(np.float64), np.concatenate(truths).astype(np.int64)
