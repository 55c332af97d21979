"""Where a training's patches come from: the project's own, and those of the other projects that it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from catalogs import patch_store
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.patch_store import patch_shards, read_index
from catalogs.patches import TRAIN, VALIDATION
from catalogs.root import Root
from catalogs.stores import Store
from models.normalisation import Moments, Normalisation
from pipelines.outcomes import Unfinished
from pipelines.patch_reading import STORE
from pipelines.plan import Plan
from pipelines.stored import missing


@dataclass(frozen=True)
class Source:
    """A store of patches; `first` is the number that its first one has among those of all sources."""

    root: Root
    index: pd.DataFrame
    """Of its own patches, or of another project's those that may be learned from here."""
    first: int
    patches: int
    whole: pd.DataFrame
    """All of its patches."""

    @cached_property
    def store(self) -> Store:
        return Store(self.root, patch_store.NAME)

    @cached_property
    def description(self) -> Mapping[str, Any]:
        return self.store.description() or {}

    @property
    def identity(self) -> str:
        return identity(self.description)

    def numbers(self, split: str) -> tuple[int, ...]:
        rows = self.index[self.index["split"] == split]
        return tuple(int(number) + self.first for number in rows["patch"])

    def held_out(self, named: str) -> tuple[int, ...]:
        """Patches of a country or year that nothing is learned from."""
        rows = self.whole[(self.whole["country"] == named) | (self.whole["year"].astype(str) == named)]
        return tuple(int(number) + self.first for number in rows["patch"])

    def class_pixels(self, names: tuple[str, ...]) -> np.ndarray:
        counts: np.ndarray = self.index[self.index["split"] == TRAIN][list(names)].sum().to_numpy(np.int64)
        return counts

    def moments(self) -> Moments:
        """The sums over its training patches, which copying them left in the ledger."""
        records = (self.store.ledger.record(name)["sums"] for name, _ in patch_shards(self.patches))
        sums = (Moments(*(np.array(record[name]) for name in ("count", "total", "squares"))) for record in records)
        return reduce(add, sums)

    def shape(self) -> tuple[int, ...]:
        return tuple(self.store.array("reflectance").shape[1:])


def patch_sources(plan: Plan) -> list[Source]:
    """The project's own patches first; every source is whole and fits the others."""
    own = _source(plan.root, 0)
    others = [_source(Root(root), number * STORE) for number, root in enumerate(plan.project.also, 1)]
    for other in others:
        _check_fits(own, other)
    sources = [own, *(_elsewhere(own, other, plan.project.patches.held_out) for other in others)]
    for split in (TRAIN, VALIDATION) if plan.project.training.stop_on == VALIDATION else (TRAIN,):
        if not any(source.numbers(split) for source in sources):
            raise BadInput(
                f"patches of {plan.project.region.name}",
                f"are all held out, so there is nothing for {split}.",
                "Name other projects in [training] also, or take country and year out of [patches] held_out.",
            )
    return sources


def watched_patches(sources: list[Source], stop_on: str) -> tuple[int, ...]:
    """Those that choose the best epoch: of the validation blocks, or of a country or year that is held out."""
    if stop_on == VALIDATION:
        return tuple(number for source in sources for number in source.numbers(VALIDATION))
    members = tuple(number for source in sources for number in source.held_out(stop_on))
    if not members:
        why = "neither this project nor one of [training] also has a patch of it."
        raise BadInput(f'[training] stop_on = "{stop_on}"', why, "Name a project of it in [training] also.")
    return members


def normalisation_of(sources: list[Source]) -> Normalisation:
    return reduce(add, (source.moments() for source in sources)).normalisation()


def origins_of(sources: list[Source]) -> list[str]:
    """Countries and years that are learned from."""
    rows = pd.concat([source.index[source.index["split"] == TRAIN][["country", "year"]] for source in sources])
    return [f"{country} {year}" for country, year in rows.drop_duplicates().itertuples(index=False)]


def _source(root: Root, first: int) -> Source:
    store = Store(root, patch_store.NAME)
    if store.description() is None:
        raise missing(root, patch_store.NAME, "patch")
    index = read_index(root)
    if lacking := store.missing(patch_shards(len(index))):
        raise Unfinished(f"{root.path(patch_store.NAME)} lacks {len(lacking)} shards; give `furrow patch` there again")
    return Source(root, index, first, len(index), index)


def _check_fits(own: Source, other: Source) -> None:
    pairs = {
        "periods, bands and pixels": (own.shape(), other.shape()),
        "classes": (own.description.get("taxonomy"), other.description.get("taxonomy")),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise BadInput(
                f"[training] also = {other.root.url}",
                f"has patches of other {what} ({theirs}) than this project ({ours}).",
                "Name projects with the same [imagery] periods, [patches] size and [labels] classes.",
            )


def _elsewhere(own: Source, other: Source, held_out: tuple[str, ...]) -> Source:
    """What of another project may be learned from here.

    Nothing on or beside ground that this project holds out, of whatever year, and nothing of a country or year that it
    names. Nor what the other validates with, if this project has its own: it may lie on ground that is trained on here.
    """
    index = other.index
    away = own.index[own.index["split"] != TRAIN].geometry.to_crs(index.crs)
    barred = index.geometry.intersects(away.union_all()) if len(away) else np.zeros(len(index), bool)
    barred |= index["country"].isin(held_out) | index["year"].astype(str).isin(held_out)
    if own.numbers(VALIDATION):
        barred |= index["split"] == VALIDATION
    return Source(other.root, index[~barred], other.first, other.patches, index)
