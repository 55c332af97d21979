"""The report of an ingest: what was seen where and when, from which scenes, as JSON and as a page with pictures."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from catalogs import cube
from catalogs.cube import cube_units
from catalogs.scenes import SceneList
from catalogs.stores import Store
from cluster.progress import Bar, Progress
from pipelines.cube_pictures import CLEAR_STEPS, NO_DATA, clear_picture, colour_picture
from pipelines.cube_survey import survey_cube, thin_step
from pipelines.ingest_figures import VERSION, Row, figures, tile_row
from pipelines.ingest_records import read_account
from pipelines.pages import days, template_shelf
from pipelines.plan import Plan
from pipelines.report import reasons

JSON = "ingest/report.json"
PAGE = "ingest/index.html"

MOST_ROWS = 40
"""Tiles that the page has in its table, those seen least; the JSON has all."""

MOST_SAID = 5
"""Periods with unseen tiles that are said aloud while the command runs."""


def write_ingest_report(
    plan: Plan, scenes: SceneList, progress: Progress, offsets: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Write the report of a cube; one that has not changed since the last report is not read again.

    `offsets` are the decisions about the radiometric offset: scene, metadata, reason, verdict, used, figures.
    """
    account = read_account(Store(plan.root, cube.NAME), cube_units(plan.tiles, plan.periods), len(plan.periods))
    tiles = _tiles_of_last_report(plan, account.digest)
    steps = len(plan.tiles) + len(plan.periods) + 1
    with progress.stage("ingest report", steps, "steps", already=steps - 1 if tiles else 0) as bar:
        tiles = tiles or _survey_and_draw(plan, bar)
        content = figures(plan, scenes, account, tiles, offsets) | {"pictures": _pictures(plan)}
        plan.root.write(PAGE, render_page(plan, scenes, content))
        plan.root.write(JSON, _encoded(content))
        bar.advance()
    say_not_seen(content, progress)
    return {
        "report": plan.root.path(PAGE),
        "totals": content["totals"],
        "unreadable": account.lost,
    }


def render_page(plan: Plan, scenes: SceneList, content: Mapping[str, Any]) -> bytes:
    """The page, with its style inside and its pictures beside it; text from outside is escaped by the template."""
    shelf = template_shelf(in_words=in_words)
    tiles = sorted(content["tiles"], key=lambda row: (sum(row["seen"]), row["tile"]))
    page = shelf.get_template("ingest_report.html").render(
        content,
        resolution=plan.project.region.resolution,
        made_up=plan.root.exists("catalog/catalog.json"),
        legend=CLEAR_STEPS,
        no_data=NO_DATA,
        reasons=reasons(scenes),
        worst=tiles[:MOST_ROWS],
        contradictions=[offset for offset in content["offsets"] if offset.get("verdict") == "contradicts"],
        verdicts=Counter(str(offset["verdict"]) for offset in content["offsets"]),
        unused=[row for row in content["scenes"] if not row["used"]],
    )
    return page.encode()


def say_not_seen(content: Mapping[str, Any], progress: Progress) -> None:
    """Periods with tiles that nobody saw, so that none is silently empty."""
    said = content["not_seen"]
    for row in said[:MOST_SAID]:
        tiles = f"{len(row['tiles'])} of {content['totals']['tiles']} tiles"
        progress.say(f"ingest: not seen in {days(row)}: {tiles}")
    if len(said) > MOST_SAID:
        progress.say(f"ingest: and {len(said) - MOST_SAID} more periods with tiles that were not seen")


def in_words(value: Any) -> str:
    """Whatever was found about a scene, in a line: figures come as text, or as names with numbers."""
    if isinstance(value, Mapping):
        named = ((str(name).replace("_", " "), in_words(inner)) for name, inner in value.items())
        return ", ".join(words if name == "why" else f"{name} {words}" for name, words in named) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " / ".join(map(in_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tiles_of_last_report(plan: Plan, digest: str) -> list[Row]:
    """Coverage as the last report has it, if it was of these very pixels and its pictures are there."""
    if not plan.root.exists(JSON):
        return []
    try:
        last = json.loads(plan.root.read(JSON))
    except ValueError:
        return []
    if not isinstance(last, dict) or (last.get("version"), last.get("cube")) != (VERSION, digest):
        return []
    names = [name for row in _pictures(plan)["periods"] for name in row.values()]
    whole = set(plan.root.keys("ingest")) >= {f"ingest/{name}" for name in names}
    tiles: list[Row] = last["tiles"]
    return tiles if whole else []


def _survey_and_draw(plan: Plan, bar: Bar) -> list[Row]:
    survey = survey_cube(plan, bar)
    for period, names in enumerate(_pictures(plan)["periods"]):
        plan.root.write(f"ingest/{names['colour']}", colour_picture(survey, period))
        plan.root.write(f"ingest/{names['clear']}", clear_picture(survey, period))
        bar.advance()
    return [tile_row(tile, coverage) for tile, coverage in survey.tiles.items()]


def _pictures(plan: Plan) -> dict[str, Any]:
    """Their names, how many metres one of their pixels is, and their pixels north to south and west to east."""
    step = thin_step(plan.grid)
    names = [
        {"colour": f"t{period:03d}-colour.png", "clear": f"t{period:03d}-clear.png"}
        for period in range(len(plan.periods))
    ]
    shape = [side // step for side in plan.grid.shape]
    return {"metres": step * plan.grid.resolution, "shape": shape, "periods": names}


def _encoded(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, default=_plain) + "\n").encode()


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
