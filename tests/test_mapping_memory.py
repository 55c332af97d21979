"""Mapping a window takes no more memory than the plan reckons with, in any architecture: measured <= projected."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import Tensor

from catalogs.bands import BANDS
from models.architectures import NETWORKS, SETTINGS
from models.card import Card
from models.forest_features import Features
from models.forest_fitting import fit_forest
from models.normalisation import Normalisation

PERIODS, CLASSES, SIDE = 4, 11, 192

OWN: dict[str, dict[str, Any]] = {
    "depthseg": {"size": "tiny"},
    "depthcropseg": {"size": "tiny"},
    "presto": {"depth": 1},
    "forest-spectral": {"trees": 20, "depth": 8},
}
OWN["forest-context"] = OWN["forest-spectral"]

MEASURE = """
import json, re, sys
from itertools import product
import numpy as np, torch
from pathlib import Path
from safetensors.torch import load_file
from models.card import Card
from models.predictor import load_predictor
from models.window import Blocks

def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

torch.set_num_threads(1)
folder, side, more, wide = Path(sys.argv[1]), int(sys.argv[2]), bool(int(sys.argv[3])), int(sys.argv[4])
card = Card.from_json((folder / "card.json").read_bytes())
predictor = load_predictor(load_file(folder / "weights.safetensors"), card)
rng = np.random.default_rng(0)
predictor.predict(rng.integers(1, 5000, (len(card.periods), 10, 32, 32)).astype(np.uint16), more)
Path("/proc/self/clear_refs").write_text("5")
window = rng.integers(1, 5000, (len(card.periods), 10, side, side)).astype(np.uint16)
chunk = np.resize(window, (*window.shape[:2], 256, 256))
places = product(*([slice(a, min(a + 256, end)) for a in range(0, end, 256)] for end in (1024, wide)))
flow = Blocks(1024, wide, ((place, chunk[..., : place[1].stop - place[1].start]) for place in places))
before = memory("VmRSS")
predictor.predict(flow if wide else window, more)
print(memory("VmHWM") - before)
"""


def weights_of(card: Card, settings: Any) -> dict[str, Tensor]:
    if card.architecture in NETWORKS:
        return dict(NETWORKS[card.architecture].network(settings).state_dict())
    rng = np.random.default_rng(0)
    features = Features(settings, card.bands, card.used_middles)
    side = 32 + 2 * settings.halo
    planes = features.planes(rng.integers(1, 5000, (PERIODS, len(BANDS), side, side)).astype(np.uint16), settings.halo)
    flat = planes.reshape(len(planes), -1).T
    return fit_forest(flat, rng.integers(0, CLASSES, len(flat)).astype(np.uint8), settings)


@pytest.mark.parametrize(
    ("architecture", "probabilities", "inner", "wide"),
    [
        *((name, False, SIDE, 0) for name in SETTINGS),
        *((name, True, SIDE, 0) for name in ("unet", "swift", "forest-spectral")),
        ("swift", False, 1024, 0),
        ("swift", False, 1024, 2048 + 56),
    ],
)
def test_a_window_takes_no_more_memory_than_was_planned(
    architecture: str, probabilities: bool, inner: int, wide: int, tmp_path: Path
) -> None:
    settings = SETTINGS[architecture](periods=PERIODS, classes=CLASSES, **OWN.get(architecture, {}))
    card = Card(
        name="season",
        architecture=architecture,
        settings=settings.as_dict(),
        bands=BANDS,
        periods=tuple(f"period {number}" for number in range(PERIODS)),
        middles=tuple(60.0 + 30 * number for number in range(PERIODS)),
        period_index=tuple(range(PERIODS)),
        classes={number: f"crop {number}" for number in range(CLASSES)},
        normalisation=Normalisation((2000.0,) * len(BANDS), (1000.0,) * len(BANDS)),
        training_identity="made",
    )
    (tmp_path / "card.json").write_bytes(card.to_json())
    save_file(
        {name: value.contiguous() for name, value in weights_of(card, settings).items()},
        tmp_path / "weights.safetensors",
    )
    side = inner + 2 * settings.halo
    command = [sys.executable, "-c", MEASURE, str(tmp_path), str(side), str(int(probabilities)), str(wide)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    measured = int(said.stdout)
    projected = settings.mapping_bytes(side**2) + settings.answer_bytes(wide * 1024 or side**2, probabilities)
    print(f"{architecture}, {wide or side}: {measured / 1e6:.0f} MB of {projected / 1e6:.0f} MB projected")
    assert 0 < measured <= projected
