"""What training takes from outside: official weights, a teacher and an elevation, checked before any worker starts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from catalogs.elevation import REMEDY, digest_of, read_elevation
from catalogs.errors import BadInput
from models.architectures import NETWORKS
from pipelines.outside_keys import target_of
from pipelines.plan import Plan
from pipelines.pretrained import WeightsFile, give_encoder, make_teacher, read_pretrained
from pipelines.project.errors import shown
from pipelines.recipe import Structure
from pipelines.structure import squares_of

KEYS = ("encoder", "target", "teacher", "elevation")

PROBED = 64
"""Patches that are looked up in an elevation, evenly through the store, before it is believed to be of that ground."""


@dataclass(frozen=True)
class Outside:
    """Which files, and `notes` of them for the card."""

    encoder: WeightsFile | None = None
    structure: Structure | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def decided_by(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Of a card's notes, what makes a training this one: files by what they hold, wherever they lie."""
    found = {name: notes[name] for name in KEYS if name in notes}
    return {name: note["sha256"] if isinstance(note, dict) else note for name, note in found.items()}


def outside_files(plan: Plan) -> Outside:
    """Read, tried and noted; an error names the key of the project file."""
    project, notes = plan.project, dict[str, Any]()
    encoder = teacher = None
    if project.encoder:
        encoder, notes["encoder"] = _encoder(plan, project.encoder)
    target = target_of(project)
    if target is None:
        return Outside(encoder, None, notes)
    notes["target"] = target
    if project.teacher:
        teacher, notes["teacher"] = _teacher(plan, project.teacher)
    if project.elevation:
        notes["elevation"] = _elevation(plan, project.elevation)
    return Outside(encoder, Structure(target, teacher, project.elevation or ""), notes)


def _encoder(plan: Plan, where: str) -> tuple[WeightsFile, dict[str, str]]:
    with _key(plan, "encoder"):
        weights = read_pretrained(where)
        row = NETWORKS[plan.project.model.architecture]
        give_encoder(row.network(plan.model).get_submodule(row.encoder), weights)
    return weights.file, weights.note


def _teacher(plan: Plan, where: str) -> tuple[WeightsFile, dict[str, str]]:
    with _key(plan, "teacher"):
        weights = read_pretrained(where)
        make_teacher(weights)
    return weights.file, weights.note


def _elevation(plan: Plan, path: str) -> dict[str, str]:
    with _key(plan, "elevation"):
        digest, squares = digest_of(path), squares_of(plan.root)
        if not np.isfinite(read_elevation(path, squares[:: -(-len(squares) // PROBED)])).any():
            raise BadInput(f"elevation {path}", "knows nothing of the ground of the patches.", REMEDY)
    return {"file": Path(path).name, "sha256": digest}


@contextmanager
def _key(plan: Plan, name: str) -> Iterator[None]:
    """Within it, what is wrong is told by the key that named it."""
    try:
        yield
    except BadInput as error:
        written = getattr(plan.project.model, name)
        given = f"{plan.project.path}, model.{name} = {shown(written)}"
        raise BadInput(given, f"{error.given} {error.why}", error.remedy) from error
