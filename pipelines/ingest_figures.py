"""The figures of an ingest: what was seen where and when, from which scenes and at what cost, as plain JSON values.

The keys are described in docs/ingest-report.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from catalogs.grid import Tile
from catalogs.periods import Period
from catalogs.scenes import Scene, SceneList
from pipelines.cube_survey import TileCoverage
from pipelines.ingest_records import Account
from pipelines.plan import Plan

VERSION = 1

Row = dict[str, Any]


def figures(
    plan: Plan, scenes: SceneList, account: Account, tiles: Sequence[Row], offsets: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Everything but the pictures; the same for the same cube, however its units were shared out."""
    periods = [period_row(plan, scenes, account, tiles, number) for number in range(len(plan.periods))]
    lost = account.lost
    return {
        "version": VERSION,
        "region": plan.project.region.name,
        "season": {"first": str(plan.project.season.start), "last": str(plan.project.season.end)},
        "grid": plan.grid_description,
        "cube": account.digest,
        "scene_list": scenes.identity,
        "totals": totals(plan, scenes, account, tiles),
        "periods": periods,
        "tiles": list(tiles),
        "not_seen": [
            {key: row[key] for key in ("first", "last", "scenes")} | {"tiles": row["tiles_not_seen"]}
            for row in periods
            if row["tiles_not_seen"]
        ],
        "missing": [_place(plan, unit.tile, unit.period) for unit in account.missing],
        "scenes": [scene_row(scene, account, lost) for scene in scenes.scenes],
        "left_out": [{"scene": name, "reason": reason} for name, reason in sorted(scenes.left_out)],
        "baselines": dict(Counter(scene.baseline for scene in scenes.scenes)),
        "offsets": sorted((dict(offset) for offset in offsets), key=lambda offset: str(offset["scene"])),
        "unreadable": [
            {"scene": scene, "reason": reason, **_place(plan, unit.tile, unit.period)}
            for unit, scene, reason in account.unreadable
        ],
        "hidden": dict(account.hidden),
    }


def tile_row(tile: Tile, coverage: TileCoverage) -> Row:
    return {
        "tile": str(tile),
        "seen": list(coverage.seen),
        "mean_clear": list(coverage.mean),
        "most_clear": list(coverage.most),
        "seen_in_all": coverage.in_all,
        "seen_in_any": coverage.in_any,
    }


def period_row(plan: Plan, scenes: SceneList, account: Account, tiles: Sequence[Row], number: int) -> Row:
    period = plan.periods[number]
    return {
        **_days(period),
        "scenes": sum(period.holds(scene.time) for scene in scenes.scenes),
        "scenes_used": len(account.scenes[number]),
        "seen": _mean(row["seen"][number] for row in tiles),
        "mean_clear": _mean(row["mean_clear"][number] for row in tiles),
        "most_clear": max(row["most_clear"][number] for row in tiles),
        "tiles_not_seen": [row["tile"] for row in tiles if row["most_clear"][number] == 0],
        "seconds": round(account.seconds[number], 3),
        "bytes": account.bytes_read[number],
    }


def totals(plan: Plan, scenes: SceneList, account: Account, tiles: Sequence[Row]) -> Row:
    return {
        "scenes": len(scenes.scenes),
        "scenes_used": sum(account.used[scene.id] > 0 for scene in scenes.scenes),
        "scenes_left_out": len(scenes.left_out),
        "scenes_unreadable": len(account.lost),
        "tiles": len(plan.tiles),
        "periods": len(plan.periods),
        "tile_periods": len(plan.tiles) * len(plan.periods),
        "tile_periods_missing": len(account.missing),
        "tile_periods_not_seen": sum(most == 0 for row in tiles for most in row["most_clear"]),
        "seen": _mean(share for row in tiles for share in row["seen"]),
        "seen_in_all": _mean(row["seen_in_all"] for row in tiles),
        "seen_in_any": _mean(row["seen_in_any"] for row in tiles),
        "mean_clear": _mean(mean for row in tiles for mean in row["mean_clear"]),
        "seconds": round(sum(account.seconds), 3),
        "bytes": sum(account.bytes_read),
    }


def scene_row(scene: Scene, account: Account, lost: Mapping[str, int]) -> Row:
    """Tile periods that the scene is used in, that its clouds hide wholly, and where it could not be read."""
    return {
        "scene": scene.id,
        "moment": scene.moment,
        "baseline": scene.baseline,
        "offset": scene.offset,
        "used": account.used[scene.id],
        "hidden": account.hidden[scene.id],
        "unreadable": lost.get(scene.id, 0),
    }


def _place(plan: Plan, tile: Tile, period: int) -> Row:
    return {"tile": str(tile), **_days(plan.periods[period])}


def _days(period: Period) -> dict[str, str | None]:
    """First and last day; thermal time can have a period without any."""
    return {"first": str(period.start), "last": str(period.last) if period.last else None}


def _mean(values: Any) -> float:
    return round(fmean(values), 6)
