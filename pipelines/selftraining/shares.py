"""How much of a region each class has: by its statistics or, where there are none, by what the teachers see."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs.csv_rows import read_csv
from catalogs.errors import BadInput
from cluster.progress import Progress
from models.label_shift import shares_by_em
from pipelines.network_actors import on_actors
from pipelines.plan import Plan
from pipelines.selftraining.ground import Ground
from pipelines.selftraining.looking import SAMPLED, looking_of, start_sampling
from pipelines.selftraining.stage import Stage
from pipelines.selftraining.teachers import Calibration

Values = NDArray[np.float64]

KEY = "shares.json"

FARTHEST = 4.0
"""An estimate leaves no class with less or more than this part, or multiple, of what the teachers see in the source:
EM takes it that crops look the same in both places and, where they do not, may drive a class to nothing."""


def statistics_of(plan: Plan) -> Values | None:
    """Shares of the classes, where the project names a table of them."""
    path = plan.project.shares_table
    return read_shares(path, plan.taxonomy.names) if path else None


def read_shares(path: Path, names: tuple[str, ...]) -> Values:
    table = read_csv(path)
    table.need("class", "area")
    areas: dict[str, float] = {}
    for line, row in table.rows:
        if row["class"] not in names or row["class"] in areas:
            why = f"class {row['class']!r} is named twice or is none of the project's."
            raise BadInput(table.at(line), why, f"Write each of {', '.join(names)} once.")
        areas[row["class"]] = _area(row["area"], table.at(line))
    if lacking := [name for name in names if name not in areas]:
        raise BadInput(
            f"table {path}", f"has no row for {', '.join(lacking)}.", "Write 0 for what does not grow there."
        )
    values = np.array([areas[name] for name in names])
    if not values.sum() > 0:
        raise BadInput(f"table {path}", "all areas are 0.", "Write the areas, in any unit.")
    return np.asarray(values / values.sum())


def target_shares(stage: Stage, ground: Ground, calibration: Calibration, progress: Progress) -> Values:
    """Those of the statistics, or an estimate by EM, which is kept for a rerun."""
    known = statistics_of(stage.plan)
    if known is not None:
        return known
    subject = calibration.as_dict()
    if stage.plan.root.exists(KEY) and (kept := json.loads(stage.plan.root.read(KEY)))["calibration"] == subject:
        return np.array(kept["shares"])
    rows = _sampled(stage, ground, calibration, progress)
    found = shares_by_em(rows, calibration.source_K)
    share_K = held_near(found.share_K, calibration.source_K)
    written: dict[str, Any] = {
        "shares": share_K.tolist(),
        "estimate": found.share_K.tolist(),
        "pixels": len(rows),
        "rounds": found.rounds,
        "converged": found.converged,
        "calibration": subject,
    }
    stage.plan.root.write(KEY, (json.dumps(written, indent=1) + "\n").encode())
    return share_K


def held_near(share_K: Values, source_K: Values) -> Values:
    bounded = np.clip(share_K, source_K / FARTHEST, source_K * FARTHEST)
    return np.asarray(bounded / bounded.sum())


def _sampled(stage: Stage, ground: Ground, calibration: Calibration, progress: Progress) -> Values:
    """In the order of the tiles, whatever the order in which they are done: sums of floats depend on it."""
    plan = stage.plan
    tiles = plan.tiles[:: -(-len(plan.tiles) // SAMPLED)]
    job = looking_of(stage, ground, calibration, calibration.source_K)
    found = {}
    with progress.stage("shares", len(tiles), "tiles") as bar:
        for tile, outcome in on_actors(plan, partial(start_sampling, job), tiles):
            if isinstance(outcome, Exception):
                raise outcome
            found[tile] = outcome
            bar.advance()
    rows = np.concatenate([found[tile] for tile in tiles])
    if not len(rows):
        raise BadInput(f"cube in {plan.cube_root.url}", "shows nothing of the region.", "Ingest another season.")
    return rows


def _area(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadInput(where, f"the area {text!r} is no number from 0 on.", "Write a number, with a decimal point.")
    return value
