"""The report of a choice of patches: what was left out and why, classes before and after, and a map of the splits."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from catalogs.patch_splits import ENOUGH, SPLITS
from catalogs.patch_store import patch_shards, read_index
from catalogs.patches import REASONS, TEST, TRAIN, VALIDATION
from catalogs.stores import Store
from pipelines.pages import template_shelf
from pipelines.patch_selection import CHOICE, is_held_out, origin_of
from pipelines.plan import Plan

JSON = "patches/report.json"
PAGE = "patches/index.html"
MAP = "patches/splits.png"
VERSION = 1

COLOURS = {TRAIN: "#2f7d46", VALIDATION: "#e0a21b", TEST: "#2b62b5"}
LEFT_OUT = "#c9c8c1"


def write_patch_report(plan: Plan, store: Store) -> dict[str, Any]:
    """Write page, picture and figures of patches that have all been copied."""
    index = read_index(plan.root)
    content = figures(plan, store, index)
    plan.root.write(MAP, splits_picture(plan, index))
    plan.root.write(PAGE, render_page(plan, content))
    plan.root.write(JSON, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return content


def figures(plan: Plan, store: Store, index: pd.DataFrame) -> dict[str, Any]:
    """What `report.json` holds. Every window is either a patch or left out for one reason."""
    choice = json.loads(plan.root.read(CHOICE))
    names, origin = plan.taxonomy.names, origin_of(plan)
    counts = choice["pixels"] | {"stored": _stored(store, len(index), len(names))}
    return {
        "version": VERSION,
        "region": plan.project.region.name,
        "country": origin.country,
        "year": origin.year,
        "held_out": is_held_out(plan),
        "settings": plan.project.patches.model_dump(mode="json"),
        "windows": choice["windows"],
        "left_out": choice["left_out"],
        "patches": {split: int((index["split"] == split).sum()) for split in SPLITS},
        "blocks": choice["blocks"],
        "parcels_in_two_splits": choice["parcels_in_two_splits"],
        "classes_lacking": _lacking(names, choice["blocks_of_class"], counts["stored"], choice["blocks"]),
        "largest_share": _largest(names, counts["chosen"][TRAIN]),
        "pixels": {
            stage: _named(names, value) if isinstance(value, list) else {s: _named(names, v) for s, v in value.items()}
            for stage, value in counts.items()
        },
    }


def render_page(plan: Plan, content: Mapping[str, Any]) -> bytes:
    page = (
        template_shelf()
        .get_template("patch_report.html")
        .render(
            content,
            resolution=plan.project.region.resolution,
            reasons=[(reason, REASONS[reason], count) for reason, count in content["left_out"].items() if count],
            classes=class_rows(plan, content),
            colours=COLOURS,
            left_out_colour=LEFT_OUT,
            splits=SPLITS,
            shape=_windows(plan),
            made_up=plan.root.exists("catalog/catalog.json"),
        )
    )
    return page.encode()


def class_rows(plan: Plan, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a class: its pixels in all windows, and as stored for each split, with their shares."""
    pixels = content["pixels"]
    stages = {"all": pixels["all"], **{split: pixels["stored"][split] for split in SPLITS}}
    sums = {stage: sum(counts.values()) or 1 for stage, counts in stages.items()}
    longest = max(counts[name] / sums[stage] for stage, counts in stages.items() for name in counts) or 1
    rows = []
    for name, title, colour in zip(plan.taxonomy.names, plan.taxonomy.titles, plan.taxonomy.colours, strict=True):
        shares = {stage: counts[name] / sums[stage] for stage, counts in stages.items()}
        bars = {stage: round(100 * share / longest, 2) for stage, share in shares.items()}
        counts = {stage: of[name] for stage, of in stages.items()}
        rows.append({"title": title, "colour": colour, "shares": shares, "bars": bars, "pixels": counts})
    return rows


def splits_picture(plan: Plan, index: pd.DataFrame) -> bytes:
    """A PNG with one pixel a window: the colour of its split, grey where it was left out, nothing beyond the tiles."""
    size, grid = plan.project.patches.size, plan.grid
    image = np.zeros((*_windows(plan), 4), np.uint8)
    for tile in plan.tiles:
        y, x = (side.start // size for side in grid.window(tile).slices)
        image[y : y + grid.side // size, x : x + grid.side // size] = _rgba(LEFT_OUT)
    for split, colour in COLOURS.items():
        rows = index[index["split"] == split]
        image[rows["y"].to_numpy() // size, rows["x"].to_numpy() // size] = _rgba(colour)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _stored(store: Store, patches: int, classes: int) -> dict[str, list[int]]:
    """Labelled pixels in the store: held-out ground is less than was chosen, by the margin and by shared parcels."""
    totals = {split: np.zeros(classes, np.int64) for split in SPLITS}
    for name, _ in patch_shards(patches):
        for split, counts in store.ledger.record(name)["pixels"].items():
            totals[split] += counts
    return {split: counts.tolist() for split, counts in totals.items()}


def _lacking(
    names: tuple[str, ...], in_blocks: list[int], stored: Mapping[str, list[int]], blocks: Mapping[str, int]
) -> dict[str, list[str]]:
    """Classes that enough blocks have to be in every split, and of which one has no pixel."""
    common = [(place, name) for place, name in enumerate(names) if in_blocks[place] >= ENOUGH]
    used = [split for split in SPLITS if blocks[split]]
    return {split: [name for place, name in common if split in used and not stored[split][place]] for split in SPLITS}


def _largest(names: tuple[str, ...], counts: list[int]) -> dict[str, Any]:
    """The class that has most of the training pixels, which a cap is held against."""
    total, place = sum(counts), int(np.argmax(counts))
    return {"class": names[place], "share": round(counts[place] / total, 4)} if total else {"class": None, "share": 0.0}


def _windows(plan: Plan) -> tuple[int, int]:
    rows, columns = (side // plan.project.patches.size for side in plan.grid.shape)
    return rows, columns


def _named(names: tuple[str, ...], counts: list[int]) -> dict[str, int]:
    return dict(zip(names, counts, strict=True))


def _rgba(colour: str) -> list[int]:
    return [*bytes.fromhex(colour[1:]), 255]
