"""One contestant of the mapping benchmark: python map_contestant.py NAME GROUND [TERRATORCH]."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import torch
import zarr
from ingest_task import timed
from map_ground import Ground, begin_map
from torch import Tensor

from catalogs.stores import Store
from models.card import Card
from models.exactness import be_exact
from models.memory import keep_what_is_freed
from models.normalisation import normalise
from models.predictor import NetworkPredictor, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.mapping import start_mapping
from pipelines.plan import TILES_IN_HAND

SLIDING = 256
"""Pixels of a sliding window, which moves by half of it."""

CLASSES = 11


def main() -> None:
    name, ground = sys.argv[1], Ground.decode(sys.argv[2])
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})  # one core, whatever a library would like
    torch.set_num_threads(1)
    keep_what_is_freed()
    CONTESTANTS[name](ground, *sys.argv[3:])


def furrow(ground: Ground) -> None:
    """What an actor of `map` does, from the cube to committed tiles."""
    begin_map(ground)
    mapper = start_mapping(ground.job)
    mapper(next(ground.grid.tiles()))
    begin_map(ground)
    with timed(), ThreadPoolExecutor(TILES_IN_HAND) as threads:
        records = list(threads.map(mapper, ground.grid.tiles()))
    assert sum(record["valid"] for record in records) == ground.pixels
    print(json.dumps({"event": "note", "computing": sum(record["computing"] for record in records)}))


def limit(ground: Ground, *, side: int = 256, batch: int = 4) -> None:
    """The network alone, on batches that lie in memory; the same few, since it takes no notice of what they hold."""
    network, when = _network(ground)
    shape = (batch, ground.periods, 10)
    x = torch.randn(*shape, side, side)
    seen = torch.ones(batch, ground.periods, side, side, dtype=torch.bool)
    with torch.inference_mode():
        network(x, seen, when.expand(batch, -1))
        with timed():
            for _ in range(ground.pixels // (batch * side * side)):
                network(x, seen, when.expand(batch, -1))


def sliding(ground: Ground) -> None:
    """Windows that overlap by half, their probabilities averaged in memory, as tutorials have it."""
    network, when = _network(ground)
    array, out = _arrays(ground)
    side, card = ground.side * ground.tile, _card(ground)
    with torch.inference_mode():
        _seen(network, when, card, array[..., :SLIDING, :SLIDING])
    with timed(), torch.inference_mode():
        total = np.zeros((CLASSES, side, side), np.float32)
        for y, x in _corners(side, SLIDING, SLIDING // 2):
            here = slice(y, y + SLIDING), slice(x, x + SLIDING)
            total[(slice(None), *here)] += _seen(network, when, card, array[(..., *here)])[0].softmax(dim=0).numpy()
        total /= total.sum(axis=0)
        out[0][:], out[1][:] = total.argmax(axis=0), np.rint(total.max(axis=0) * 100)


def terratorch(ground: Ground, package: str) -> None:
    """Its tiled inference with its own defaults, fed window by window from the cube."""
    tiled = _terratorch(package)
    network, when = _network(ground)
    array, out = _arrays(ground)
    side = ground.side * ground.tile

    def forward(x: Tensor, **_: Any) -> Tensor:
        seen = torch.ones(x.shape[0], ground.periods, *x.shape[-2:], dtype=torch.bool)
        return network(x.transpose(1, 2), seen, when.expand(x.shape[0], -1))

    with torch.inference_mode():
        forward(torch.randn(4, 10, ground.periods, 224, 224))
    with timed(), torch.inference_mode():
        whole = normalise(array[:], _card(ground).normalisation).transpose(0, 1)[None]
        logits = tiled.tiled_inference(forward, whole, CLASSES, batch_size=4)
        percent = logits[0].softmax(dim=0).amax(dim=0).mul(100).round()
        out[0][:], out[1][:] = logits[0].argmax(dim=0).to(torch.uint8).numpy(), percent.to(torch.uint8).numpy()
    assert out[0].shape == (side, side)


def _terratorch(package: str) -> ModuleType:
    """One file of the package, which otherwise wants all of its dependencies; the padding it asks for is ours."""
    for name in ("terratorch", "terratorch.models", "terratorch.models.utils"):
        sys.modules[name] = ModuleType(name)
    sys.modules["terratorch.models.utils"].pad_images = lambda images, size, mode: images  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("tiled_inference", package)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiled_inference"] = module
    spec.loader.exec_module(module)
    return module


def _card(ground: Ground) -> Card:
    return read_checkpoint(ground.root, "season")[1]


def _network(ground: Ground) -> tuple[Any, Tensor]:
    be_exact()
    predictor = load_predictor(*read_checkpoint(ground.root, "season"))
    assert isinstance(predictor, NetworkPredictor)
    return predictor.network, torch.tensor([predictor.card.used_middles])


def _seen(network: Any, when: Tensor, card: Card, counts: np.ndarray) -> Tensor:
    x = normalise(counts, card.normalisation)[None]
    seen = torch.from_numpy((counts != 0).any(axis=1))[None]
    answer: Tensor = network(x, seen, when)
    return answer


def _arrays(ground: Ground) -> tuple[Any, list[Any]]:
    """The cube's, as anyone opens it, and those of the map."""
    store: Store = begin_map(ground)
    return zarr.open_group(ground.root.path("cube.zarr"), mode="r")["reflectance"], store.arrays("crop", "confidence")


def _corners(side: int, window: int, step: int) -> Iterator[tuple[int, int]]:
    starts = range(0, side - window + 1, step)
    return ((y, x) for y in starts for x in starts)


CONTESTANTS: dict[str, Callable[..., None]] = {
    "limit": limit,
    "furrow": furrow,
    "sliding": sliding,
    "terratorch": terratorch,
}

if __name__ == "__main__":
    main()
