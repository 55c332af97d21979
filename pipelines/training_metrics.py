"""What a training says of itself: to the terminal as it goes, and in files that TensorBoard and programs read."""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from cluster.training import Team
from models.metrics import Scores
from pipelines.device_use import DeviceMeter
from pipelines.recipe import Recipe
from pipelines.training_state import Standing

POST_SECONDS = 1.0
"""Between two posts to the terminal: reading the loss waits for the device."""

LINES = 20
"""Of metrics, in an epoch."""

METRICS = "metrics.jsonl"


class Metrics:
    """Of one training, kept by its first worker.

    The lines are part of the standing that is written down, so that those after a kill continue those before it.
    """

    def __init__(self, recipe: Recipe, team: Team, standing: Standing) -> None:
        self.recipe, self.team, self.standing = recipe, team, standing
        self.meter = DeviceMeter(team.device)
        self.posted, self.patches, self.use = time.monotonic(), 0, self.meter.read()
        self.speed = 0.0
        self.events = _Events(recipe, standing.step) if team.rank == 0 else None

    def step(self, rate: float) -> None:
        """After each step."""
        self.patches += self.recipe.training.batch
        now = time.monotonic()
        is_line = self.standing.step % max(self.recipe.steps_an_epoch // LINES, 1) == 0
        if self.events is None or not (is_line or now - self.posted >= POST_SECONDS):
            return
        loss = self.standing.mean_loss(self.recipe)
        self._measure(now)
        if is_line:
            self._line({"loss": loss, "learning_rate": rate, "patches_per_second": self.speed, **self.use})
        self.team.post(self._where() | {"loss": loss, "patches_per_second": self.speed, **self.use})

    def epoch(self, scores: Scores) -> None:
        """After each epoch, when it is in the history."""
        if self.events is None:
            return
        entry = self.standing.history[-1]
        scored = {
            "validation_miou": entry["validation_miou"],
            "pixel_accuracy": scores.pixel_accuracy,
            "mean_class_accuracy": scores.mean_class_accuracy,
        }
        self._line({"epoch_loss": entry["loss"], **scored})
        self.team.post(self._where() | entry | {"patches_per_second": self.speed, **self.use})
        self.posted, self.patches = time.monotonic(), 0  # what watching took is no part of the speed

    def write(self) -> None:
        """The files, as far as training has been written down."""
        if self.events is not None:
            text = "".join(json.dumps(line) + "\n" for line in self.standing.metrics)
            self.recipe.root.write(f"{self.recipe.notes}/{METRICS}", text.encode())
            self.events.write()

    def close(self) -> None:
        if self.events is not None:
            self.events.writer.close()

    def _where(self) -> dict[str, Any]:
        return {"name": self.recipe.card.name, "step": self.standing.step, "epochs": self.recipe.training.epochs,
                "epoch": -(-self.standing.step // self.recipe.steps_an_epoch)}  # fmt: skip

    def _measure(self, now: float) -> None:
        """Since the last post."""
        self.speed = round(self.patches / max(now - self.posted, 1e-6), 2)
        self.use = {name: round(value, 3) for name, value in self.meter.read().items()}
        self.posted, self.patches = now, 0

    def _line(self, values: Mapping[str, float]) -> None:
        known = {name: value for name, value in values.items() if value == value}  # a score may be no number
        self.standing.metrics.append({"step": self.standing.step, "time": round(time.time(), 1), **known})
        assert self.events is not None
        self.events.add(self.standing.step, known)


class _Events:
    """Event files beside the metrics: grown in place where the root is a folder, sent whole where it is not."""

    def __init__(self, recipe: Recipe, step: int) -> None:
        self.recipe = recipe
        self.temporary = None if recipe.root.is_local else tempfile.TemporaryDirectory(prefix="furrow-events-")
        folder = self.temporary.name if self.temporary else recipe.root.path(recipe.notes)
        self.writer = SummaryWriter(folder, purge_step=step + 1 if step else None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def write(self) -> None:
        self.writer.flush()
        for path in sorted(Path(self.temporary.name).iterdir()) if self.temporary else []:
            self.recipe.root.write(f"{self.recipe.notes}/{path.name}", path.read_bytes())
