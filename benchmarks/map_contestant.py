"""One contestant of the mapping benchmark: python map_contestant.py NAME GROUND [TERRATORCH]."""

import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, product
from multiprocessing import get_context
from types import ModuleType
from typing import Any

import numpy as np
import torch
import zarr
from ingest_task import tell, timed
from map_ground import Ground, begin_map
from torch import Tensor

from catalogs import cube
from catalogs.cube import read_cube
from catalogs.grid import Tile, Window, blocks
from catalogs.stores import Store
from models.card import Card
from models.exactness import be_exact
from models.memory import keep_what_is_freed
from models.normalisation import normalise
from models.predictor import NetworkPredictor, as_floats, counts_on, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.mapping import start_mapping

SLIDING = 256
"""Pixels of a sliding window, which moves by half of it."""

CLASSES = 11

PATIENCE = 300
"""Seconds after which workers are given up that others wait for."""

SHAPES = {False: [(4, 256)], True: [(4, 256), (16, 256), (4, 512), (1, 1024), (1, 2048)]}
"""Windows, and pixels of their side, in which the network alone is fed: on a GPU in those which are the fastest."""

AT_ONCE = {False: 1, True: 16}
"""Windows that slide, in one batch."""


def main() -> None:
    name, ground = sys.argv[1], Ground.decode(sys.argv[2])
    if not ground.on_gpu:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})  # one core, whatever a library would like
        torch.set_num_threads(1)
    keep_what_is_freed()
    CONTESTANTS[name](ground, *sys.argv[3:])


def furrow(ground: Ground) -> None:
    """What the actors of `map` do, from the cube to committed tiles."""
    for found in _on_workers(ground, map_groups):
        records = [record for done in found for record in done]
        assert sum(record["valid"] for record in records) == ground.pixels
        tell("note", computing=sum(record["computing"] for record in records), window=records[0]["window"])


def reading(ground: Ground) -> None:
    """What they read for a GPU, and nothing else."""
    deque(_on_workers(ground, read_groups), maxlen=0)


def _on_workers(ground: Ground, work: Callable[..., Any]) -> Iterator[list[Any]]:
    """What each made of its share of the groups, each time. One is this process; several begin and end together."""
    workers = ground.places[0]
    groups = blocks(ground.tiles, *ground.job.places.together)
    if workers == 1:
        ready = work(ground)
        for _ in range(ground.repeats):
            begin_map(ground)
            with timed():
                done = ready(groups)
            yield [done]
        return
    context = get_context("spawn")
    meeting, found = context.Barrier(workers + 1, timeout=PATIENCE), context.Queue()
    shares = [groups[number::workers] for number in range(workers)]
    for share in shares:
        context.Process(target=_one_of, args=(work, ground, share, meeting, found), daemon=True).start()
    for _ in range(ground.repeats):
        begin_map(ground)
        meeting.wait()
        with timed():
            meeting.wait()
        yield [found.get() for _ in shares]


def _one_of(work: Callable[..., Any], ground: Ground, share: list[Any], meeting: Any, found: Any) -> None:
    ready = work(ground)
    for _ in range(ground.repeats):
        meeting.wait()
        done = ready(share)
        meeting.wait()
        found.put(done)


def map_groups(ground: Ground) -> Callable[[list[list[Tile]]], list[dict[str, Any]]]:
    """A worker that has mapped once, to warm up, into a map that is thrown away."""
    warm = replace(ground, folder=tempfile.mkdtemp(dir=ground.folder))
    begin_map(warm)
    first = blocks(ground.tiles, *ground.job.places.together)[0]
    job = replace(ground.job, root=warm.root, learned=ground.root, ground=ground.root)
    mapper = start_mapping(job, ground.on_gpu)
    for _ in range(2 if ground.on_gpu else 1):
        begin_map(warm)
        mapper(first)
    shutil.rmtree(warm.folder)
    mapper = replace(mapper, job=ground.job)

    def run(groups: list[list[Tile]]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(mapper.job.places.in_hand) as threads:
            return [record for records in threads.map(mapper, groups) for record in records]

    return run


def read_groups(ground: Ground) -> Callable[[list[list[Tile]]], int]:
    predictor = load_predictor(*read_checkpoint(ground.root, "season"), _device(ground))
    store = Store(ground.root, cube.NAME)
    readers = ThreadPoolExecutor(ground.places[2])

    def read(group: list[Tile]) -> int:
        window = ground.grid.around_all(group).grown(predictor.halo)
        return int(read_cube(store, window, predictor.room, readers).shape[-1])

    def run(groups: list[list[Tile]]) -> int:
        with ThreadPoolExecutor(2) as threads:
            return sum(threads.map(read, groups))

    run(blocks(ground.tiles, *ground.job.places.together)[:2])
    return run


def limit(ground: Ground) -> None:
    """The network alone, on batches that lie in memory; the same few, since it takes no notice of what they hold."""
    network, when = _network(ground)

    def look(batch: int, side: int, pixels: int) -> float:
        x = torch.randn(batch, ground.periods, 10, side, side, device=when.device)
        seen = torch.ones(batch, ground.periods, side, side, dtype=torch.bool, device=when.device)
        network(x, seen, when.expand(batch, -1))
        _wait(ground)
        began = time.perf_counter()
        for _ in range(max(pixels // (batch * side * side), 1)):
            network(x, seen, when.expand(batch, -1))
        _wait(ground)
        return time.perf_counter() - began

    with torch.inference_mode(), _precisely(ground):
        shapes = SHAPES[ground.on_gpu]
        fastest = min(shapes, key=lambda shape: look(*shape, 1 << 23)) if len(shapes) > 1 else shapes[0]
        for _ in range(ground.repeats):
            tell("began")
            tell("ended", seconds=look(*fastest, ground.pixels))
    tell("note", shape=fastest)


def sliding(ground: Ground) -> None:
    """Windows that overlap by half, their probabilities averaged in memory, as tutorials have it."""
    network, when = _network(ground)
    array, out = _arrays(ground)
    here, card = ground.window, _card(ground)
    with torch.inference_mode(), _precisely(ground):
        _seen(network, when, card, array[..., :SLIDING, :SLIDING][None])
    for _ in range(ground.repeats):
        with timed(), torch.inference_mode(), _precisely(ground):
            total = torch.zeros(CLASSES, here.height, here.width, device=when.device)
            for windows in _batches(_windows(ground, SLIDING, SLIDING // 2), AT_ONCE[ground.on_gpu]):
                counts = np.stack([array[..., *window.slices] for window in windows])
                answers = _seen(network, when, card, counts).float().softmax(dim=1)
                for window, answer in zip(windows, answers, strict=True):
                    total[:, *window.seen_from(here).slices] += answer
            total /= total.sum(dim=0)
            _write(out, here, *total.max(dim=0))


def _write(out: list[Any], here: Window, share: Tensor, crop: Tensor) -> None:
    for layer, found in zip(out, (crop, share.mul(100).round()), strict=True):
        layer[here.slices] = found.to(torch.uint8).cpu().numpy()


def terratorch(ground: Ground, package: str) -> None:
    """Its tiled inference with its own defaults, fed window by window from the cube."""
    tiled = _terratorch(package)
    network, when = _network(ground)
    array, out = _arrays(ground)

    def forward(x: Tensor, **_: Any) -> Tensor:
        seen = torch.ones(x.shape[0], ground.periods, *x.shape[-2:], dtype=torch.bool, device=x.device)
        with _precisely(ground):
            return network(x.transpose(1, 2), seen, when.expand(x.shape[0], -1))

    with torch.inference_mode():
        forward(torch.randn(4, 10, ground.periods, 224, 224, device=when.device))
    for _ in range(ground.repeats):
        with timed(), torch.inference_mode():
            counts = array[..., *ground.window.slices]
            whole = normalise(_given(counts, when.device), _card(ground).normalisation).transpose(0, 1)[None]
            logits = tiled.tiled_inference(forward, whole, CLASSES, batch_size=4 * AT_ONCE[ground.on_gpu])
            _write(out, ground.window, *logits[0].float().softmax(dim=0).max(dim=0))
        assert logits.shape[-2:] == (ground.window.height, ground.window.width)


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
    device = _device(ground)
    predictor = load_predictor(*read_checkpoint(ground.root, "season"), device)
    assert isinstance(predictor, NetworkPredictor)
    return predictor.network, torch.tensor([predictor.card.used_middles], device=device)


def _device(ground: Ground) -> str:
    return "cuda" if ground.on_gpu else "cpu"


def _precisely(ground: Ground) -> Any:
    return torch.autocast(_device(ground), torch.bfloat16, enabled=ground.precision == "bf16")


def _wait(ground: Ground) -> None:
    if ground.on_gpu:
        torch.cuda.synchronize()


def _given(counts: np.ndarray, device: torch.device) -> Any:
    return counts if device.type == "cpu" else as_floats(counts_on(counts, device))


def _seen(network: Any, when: Tensor, card: Card, counts: np.ndarray) -> Tensor:
    x = normalise(_given(counts, when.device), card.normalisation)
    seen = torch.from_numpy((counts != 0).any(axis=2)).to(when.device)
    answer: Tensor = network(x, seen, when.expand(len(x), -1))
    return answer


def _arrays(ground: Ground) -> tuple[Any, list[Any]]:
    """The cube's, as anyone opens it, and those of the map."""
    store: Store = begin_map(ground)
    return zarr.open_group(ground.root.path("cube.zarr"), mode="r")["reflectance"], store.arrays("crop", "confidence")


def _windows(ground: Ground, side: int, step: int) -> Iterator[Window]:
    here = ground.window
    down, across = range(0, here.height - side + 1, step), range(0, here.width - side + 1, step)
    return (Window(here.y + y, here.x + x, side, side) for y, x in product(down, across))


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while some := list(islice(items, size)):
        yield some


CONTESTANTS: dict[str, Callable[..., None]] = {
    "limit": limit,
    "furrow": furrow,
    "reading": reading,
    "sliding": sliding,
    "terratorch": terratorch,
}

if __name__ == "__main__":
    main()
