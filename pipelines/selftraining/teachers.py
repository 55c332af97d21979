"""The networks that label a region, and their calibration on ground of the source that they did not learn from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.bands import BANDS
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.patch_store import INDEX, read_index
from catalogs.patches import VALIDATION
from catalogs.root import Root
from cluster.progress import Progress
from models.calibration import Temperature, fit_temperature_and_bias
from models.card import Card
from models.ensemble import Ensemble, Member, needs_network
from models.predictor import check_fits, load_predictor
from pipelines.calibrating import sampled_pixels
from pipelines.checkpoints import read_checkpoint
from pipelines.map import check_classes
from pipelines.network_actors import device_of, on_actors
from pipelines.patch_reading import STORE, PatchReader
from pipelines.plan import Plan
from pipelines.stored import missing

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Teacher:
    """A checkpoint by its place."""

    root: Root
    name: str


@dataclass(frozen=True, eq=False)
class Calibration:
    """A temperature with its biases for each teacher, and the shares of classes that they then see in the source.

    The biases also take back what weights of classes in the teachers' loss have done to their probabilities.
    """

    temperatures: tuple[Temperature, ...]
    source_K: Values

    def as_dict(self) -> dict[str, Any]:
        temperatures = [{"value": t.value, "bias": list(t.bias)} for t in self.temperatures]
        return {"temperatures": temperatures, "source_shares": self.source_K.tolist()}

    @staticmethod
    def of(found: Mapping[str, Any]) -> "Calibration":
        temperatures = tuple(Temperature(t["value"], tuple(t["bias"])) for t in found["temperatures"])
        return Calibration(temperatures, np.array(found["source_shares"]))


def cards_of(plan: Plan, teachers: Sequence[Teacher]) -> list[Card]:
    """The teachers' cards; refuses those that do not fit the region's cube and classes."""
    cards = []
    for teacher in teachers:
        state, card = read_checkpoint(teacher.root, teacher.name)
        check_fits(card, BANDS, plan.period_names)
        check_classes(plan, card)
        needs_network(load_predictor(state, card))
        cards.append(card)
    return cards


def load_ensemble(
    teachers: Sequence[Teacher], temperatures: Sequence[Temperature] = (), device: str = "cpu"
) -> Ensemble:
    """Without temperatures as they are, which is how `furrow map` uses them."""
    given = temperatures or [Temperature(1.0)] * len(teachers)
    members = []
    for teacher, temperature in zip(teachers, given, strict=True):
        predictor = load_predictor(*read_checkpoint(teacher.root, teacher.name), device)
        members.append(Member(needs_network(predictor), temperature))
    return Ensemble(tuple(members))


def calibrate(plan: Plan, key: str, teachers: Sequence[Teacher], progress: Progress) -> Calibration:
    """Kept in the root, for a rerun of the same teachers on the same patches."""
    cards, sources = cards_of(plan, teachers), [Root(root) for root in plan.project.sources]
    subject = identity({
        "teachers": [card.weights_sha256 for card in cards],
        "sources": [index_digest(source) for source in sources],
        "seed": plan.project.selftrain.seed,
    })  # fmt: skip
    if plan.root.exists(key) and (kept := json.loads(plan.root.read(key)))["identity"] == subject:
        return Calibration.of(kept)
    found: dict[Teacher, tuple[Temperature, Values]] = {}
    start = partial(start_calibrating, tuple(sources), plan.project.selftrain.seed)
    with progress.stage("calibrate", len(teachers), "teachers") as bar:
        for teacher, outcome in on_actors(plan, start, list(teachers)):
            if isinstance(outcome, Exception):
                raise outcome
            found[teacher] = outcome
            bar.advance()
    calibration = Calibration(
        tuple(found[teacher][0] for teacher in teachers),
        np.mean([found[teacher][1] for teacher in teachers], axis=0),
    )
    written = {"identity": subject, "teachers": [card.name for card in cards], **calibration.as_dict()}
    plan.root.write(key, (json.dumps(written, indent=1) + "\n").encode())
    return calibration


def start_calibrating(
    sources: tuple[Root, ...], seed: int, on_gpu: bool = False
) -> Callable[[Teacher], tuple[Temperature, Values]]:
    return partial(calibrate_one, sources, seed, device_of(on_gpu))


def calibrate_one(sources: tuple[Root, ...], seed: int, device: str, teacher: Teacher) -> tuple[Temperature, Values]:
    """Its temperature, and the shares of classes that it then sees."""
    member = load_ensemble([teacher], device=device).members[0]
    logits_NK, truth_N = sampled_pixels(member.predictor, PatchReader(*sources), validation_patches(sources), seed)
    temperature = fit_where_known(logits_NK, truth_N)
    return temperature, temperature.probabilities(logits_NK).mean(axis=0)


def fit_where_known(logits_NK: Values, truth_N: NDArray[np.int64]) -> Temperature:
    """Classes without a pixel of truth have no bias: nothing says what theirs would be."""
    there, truth = np.unique(truth_N, return_inverse=True)
    found = fit_temperature_and_bias(logits_NK[:, there], truth)
    bias = np.zeros(logits_NK.shape[1])
    bias[there] = found.bias
    return Temperature(found.value, tuple(bias))


def index_digest(root: Root) -> str:
    if not root.exists(INDEX):
        raise missing(root, INDEX, "patch")
    columns = ["patch", "split", "block", "y", "x"]
    return identity({"index": read_index(root)[columns].astype(str).to_csv(index=False)})


def validation_patches(sources: Sequence[Root]) -> list[int]:
    found = []
    for place, root in enumerate(sources):
        index = read_index(root)
        found += [int(number) + place * STORE for number in index[index["split"] == VALIDATION]["patch"]]
    if not found:
        why = "have no validation patches, which calibrate the teachers and choose the student's epoch."
        raise BadInput(f"[selftrain] source = {[root.url for root in sources]}", why, "Name a project that has some.")
    return found
