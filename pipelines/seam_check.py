"""Whether windows show in a map, from some ground where they meet; a map in which they do is not published unasked."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from catalogs import crops, cube
from catalogs.crossings import crossings, tiles_of
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.grid import Window
from catalogs.stores import Store
from cluster.progress import Progress
from models.architectures import settings_of
from models.card import Card
from models.checkpoint import CARD, WEIGHTS
from models.exactness import CPU
from models.network import NetworkSettings
from pipelines.checkpoints import card_in
from pipelines.plan import Plan
from pipelines.seam_looks import Look, look_again

SEAMS = "report/seams.json"

PLACES = 16
"""Looked at, whatever the size of the map: windows that show do so wherever they meet."""

ROUNDING = 1e-4
"""Share of pixels that may be another crop on GPUs, whose libraries add up windows of other sizes in other orders, and
where another processor mapped, and in bf16. CPUs of one kind give the same bits in fp32, so there it is none."""

Found = dict[str, Any]


def check_seams(plan: Plan, progress: Progress, accepted: bool = False) -> Found:
    """Refuse a map in which windows show, unless that is accepted; report/seams.json says what was found."""
    found = find_seams(plan, progress)
    if "skipped" in found:
        progress.say(f"seams: not looked for, because {found['skipped']}")
    elif shows(found) and not accepted:
        raise _refused(plan, found)
    else:
        progress.say(f"seams: {told(found)}")
    return found


def shows(found: Mapping[str, Any]) -> bool:
    return bool(found["differing"] > found["allowed"])


def told(found: Mapping[str, Any]) -> str:
    """In one line."""
    some = f"{found['differing']:,}" if found["differing"] else "none"
    line = f"{some} of {found['pixels']:,} pixels at {found['places']} places where windows meet"
    line += " would be another crop in another window"
    return line + (f"; another processor explains up to {found['allowed']:,}" if found["allowed"] else "")


def find_seams(plan: Plan, progress: Progress) -> Found:
    """Look, unless the same tiles have been looked at before with the same network; or say why not."""
    if lacking := _lacking(plan):
        return _kept(plan, {"skipped": lacking})
    card = _card(plan)
    settings = settings_of(card)
    window = settings.flow or settings.window
    squares = crossings(plan.grid, plan.region, plan.tiles, window, settings.stride, PLACES)
    if not squares:
        return _kept(plan, {"skipped": "all of it was seen in one window"})
    records = _records(plan, squares)
    about = identity({"weights": card.weights_sha256, "tiles": {unit: one["digests"] for unit, one in records.items()}})
    before: Found = json.loads(plan.root.read(SEAMS)) if plan.root.exists(SEAMS) else {}
    if before.get("identity") == about:
        return before
    mapped_on = sorted({str(record.get("processor", "")) for record in records.values()})
    rounded = plan.project.map.precision != "fp32"
    return _kept(plan, {"identity": about} | summed(look_again(plan, squares, progress), mapped_on, rounded))


def summed(looks: Sequence[Look], mapped_on: Sequence[str], rounded: bool = False) -> Found:
    pixels, seen_on = sum(look.pixels for look in looks), sorted({look.processor for look in looks})
    exact = len({*mapped_on, *seen_on}) == 1 and seen_on[0].startswith(CPU) and not rounded
    worst = sorted((look for look in looks if look.differing), key=lambda look: -look.differing)[:3]
    return {
        "places": len(looks),
        "pixels": pixels,
        "differing": sum(look.differing for look in looks),
        "allowed": 0 if exact else int(pixels * ROUNDING),
        "mapped_on": [*mapped_on],
        "seen_on": seen_on,
        "worst": [{"y": look.square.y, "x": look.square.x, "differing": look.differing} for look in worst],
    }


def _lacking(plan: Plan) -> str:
    """What there would have to be to see the ground again; nothing if all is there."""
    mapped, ground = (Store(plan.root, name).description() or {} for name in (crops.MAP, cube.NAME))
    if not ground:
        return "the cube that was mapped is not there"
    if mapped.get("cube") != identity(ground):
        return "the cube is another one than that which was mapped"
    folder = f"checkpoints/{plan.project.checkpoint}"
    if not all(plan.checkpoint_root.exists(f"{folder}/{name}") for name in (CARD, WEIGHTS)):
        return "the checkpoint that mapped is not there"
    if mapped["checkpoint"]["weights_sha256"] != _card(plan).weights_sha256:
        return "the checkpoint is another one than that which mapped"
    return ""


def _card(plan: Plan) -> Card:
    card = card_in(plan.checkpoint_root, plan.project.checkpoint)
    assert card is not None, "it was there just now"
    return card


def _records(plan: Plan, squares: Iterable[Window]) -> dict[str, dict[str, Any]]:
    """Of the tiles that are looked at."""
    ledger, planned = Store(plan.root, crops.MAP).ledger, set(plan.tiles)
    tiles = {tile for square in squares for tile in tiles_of(plan.grid, square)}
    return {str(tile): ledger.record(str(tile)) for tile in sorted(tiles & planned)}


def _kept(plan: Plan, found: Found) -> Found:
    plan.root.write(SEAMS, json.dumps(found, indent=1).encode())
    return found


def _refused(plan: Plan, found: Found) -> BadInput:
    card = _card(plan)
    cause, remedy = _cause(settings_of(card), card.architecture, plan.project.map.halo)
    why = f"shows where its windows meet{cause}: {told(found)}."
    publishing = f"furrow publish --with-seams {shlex.quote(plan.project.path.name)}"
    return BadInput(f"the map {plan.root.path(crops.MAP)}", why, f"{remedy} To publish it as it is: {publishing}")


def _cause(settings: NetworkSettings, architecture: str, halo: int | str) -> tuple[str, str]:
    """Why windows show, and what helps."""
    if not settings.is_seamless:
        remedy = "Map with a network and settings that leave no seams (docs/networks.md)."
        return f", since an answer of this {architecture} depends on its whole window", remedy
    if isinstance(halo, int) and halo < settings.halo:
        cause = f", since they had a halo of {halo} pixels and the network asks for {settings.halo}"
        return cause, 'Write halo = "auto" in [map] and map again.'
    return "", "Find out whether its pixels are still those that were mapped: furrow verify."
