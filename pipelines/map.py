"""map: cube and checkpoint to the crop map, tile by tile, by actors pinned to CPU cores or shares of GPUs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from catalogs import crops, cube
from catalogs.bands import BANDS
from catalogs.cube import CubeUnit
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.grid import blocks
from catalogs.renewal import changed_inputs
from catalogs.stores import Store
from cluster.progress import Progress
from models.architectures import settings_of
from models.card import Card
from models.network import NetworkSettings
from models.predictor import check_fits, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.devices import Places
from pipelines.leases import Shape, of_least_cost, smaller
from pipelines.map_inputs import INPUTS, Record, Sight, plan_word
from pipelines.mapping import start_mapping
from pipelines.network_actors import mapping_places, on_mapping_actors
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.predicting import Mapping
from pipelines.renewal import renew
from pipelines.stored import check_whole, hide_map, identity_of, units_of


def make_map(plan: Plan, progress: Progress) -> dict[str, Any]:
    """Map the tiles that are not mapped yet."""
    state, card = read_checkpoint(plan.checkpoint_root, plan.project.checkpoint)
    check_cube(plan, card)
    check_classes(plan, card)
    load_predictor(state, card)  # what does not fit together is told here, before a store is begun
    settings = settings_of(card)
    plan.check_memory(plan.bytes_to_map_with(settings))
    store, described = begin_map(plan, card, progress)
    missing = set(store.to_do(units_of(plan, crops.MAP)))
    todo = [tile for tile in plan.tiles if str(tile) in missing]
    if todo:
        hide_map(plan)
    places = mapping_places(plan) if todo else Places(1)
    places = replace(places, together=seen_together(plan, settings, places, len(todo)))
    plan.check_memory(plan.bytes_to_map_with(settings, places.in_hand, places.gpus, places.together), places.actors)
    outcomes, windows, alone = Outcomes(store), set[tuple[int, int]](), list[str]()
    with progress.stage("map", len(plan.tiles), "tiles", already=len(plan.tiles) - len(todo)) as bar:
        start = partial(start_mapping, replace(mapping_into(plan, described), places=places))
        for tile, outcome in on_mapping_actors(plan, start, blocks(todo, *places.together), places):
            outcomes.add(str(tile), outcome)
            bar.advance()
            if not isinstance(outcome, Exception):
                windows.add((outcome["window"], outcome.get("best_window", outcome["window"])))
                alone += [outcome["why_alone"]] if "why_alone" in outcome else []
    outcomes.check()
    check_whole(plan, crops.MAP)
    store.sweep()
    shrunk = [(side, best) for side, best in windows if side < best]
    if shrunk:
        side, best = min(shrunk)
        progress.say(f"map: memory ran out at windows of {best} pixels; some tiles were seen in windows of {side}")
    if alone:
        progress.say(f"map: {len(alone)} tiles were seen alone, because together with others: {alone[0]}")
    return {"map": plan.root.path(crops.MAP), "tiles": len(plan.tiles), "weights_sha256": card.weights_sha256}


def seen_together(plan: Plan, settings: NetworkSettings, places: Places, tiles: int) -> Shape:
    """Fewer where there are few tiles for each actor, or little memory. On a CPU several only where it shows in no
    byte: not in bf16, nor where the map's halo is less than the network's."""
    own, exact = plan.project.map.halo, plan.project.map.precision == "fp32"
    if not places.gpus and (not exact or (isinstance(own, int) and own < settings.halo)):
        return 1, 1

    def fits(shape: Shape) -> bool:
        return plan.fits(plan.bytes_to_map_with(settings, places.in_hand, places.gpus, shape) * places.actors)

    fitting = [shape for shape in smaller(plan.together(settings, places.gpus)) if shape == (1, 1) or fits(shape)]
    halo = own if isinstance(own, int) else settings.halo
    return of_least_cost(fitting, plan.grid.side, halo, max(tiles, 1) / places.actors)


def begin_map(plan: Plan, card: Card, progress: Progress) -> tuple[Store, dict[str, Any]]:
    """The store to fill, and what it is planned from; tiles of a cube or a network that has changed are taken back."""
    store, described = Store(plan.root, crops.MAP), describe_map(plan, card)
    changed = changed_inputs(store, described, INPUTS)
    if changed or store.description() is None:
        hide_map(plan)
    if changed:
        told = "tiles", "the checkpoint has changed" if "checkpoint" in changed else "scenes have changed"
        renew(store, described, units_of(plan, crops.MAP), _still_made_of(plan, card), progress, told)
    probabilities = plan.project.map.probabilities
    store.begin(
        crops.map_layouts(plan.grid, plan.taxonomy, probabilities),
        crops.map_coordinates(plan.grid, plan.taxonomy, probabilities),
        described,
        {"title": f"Crop map of {plan.project.region.name}", "Conventions": "CF-1.11"},
    )
    return store, described


def _still_made_of(plan: Plan, card: Card) -> Callable[[str, Record], bool]:
    """Whether a tile's record is of the cube and the network that there are now."""
    job = mapping_of(plan, card.name)
    sight = Sight(plan.grid, job.halo_or(settings_of(card).halo), card.period_index)
    units = [CubeUnit(period, tile).name for tile in plan.tiles for period in sight.periods]
    digests = {
        unit: {"digests": record.get("digests")} for unit, record in Store(plan.root, cube.NAME).ledger.records(units)
    }
    tiles = {str(tile): tile for tile in plan.tiles}

    def still(unit: str, record: Record) -> bool:
        same_network = record.get("weights_sha256") == card.weights_sha256
        return same_network and record.get("made_of") == sight.made_of(tiles[unit], digests)

    return still


def mapping_into(plan: Plan, described: dict[str, Any]) -> Mapping:
    """What workers of `map` do, in a map that is planned from that."""
    return replace(
        mapping_of(plan, plan.project.checkpoint),
        plan=plan_word(described),
        described=identity(described),
        learned=plan.checkpoint_root,
        probabilities=plan.project.map.probabilities,
        places=Places(plan.workers),
    )


def mapping_of(plan: Plan, checkpoint: str) -> Mapping:
    halo, precision = plan.project.map.halo, plan.project.map.precision
    return Mapping(
        plan.root, plan.grid, plan.region, checkpoint, halo if isinstance(halo, int) else None, precision=precision
    )


def check_cube(plan: Plan, card: Card) -> None:
    """Refuse a cube that the network does not fit, or that has holes in place of tiles."""
    check_whole(plan, cube.NAME)
    check_fits(card, BANDS, plan.period_names)


def check_classes(plan: Plan, card: Card) -> None:
    """Refuse a network that speaks of other classes, or of the same in another order."""
    names = plan.taxonomy.names
    if tuple(card.classes[number] for number in range(len(card.classes))) != names:
        told = ", ".join(card.classes.values())
        why = f"its classes are {told[:200]}, and maps are made of {', '.join(names)}."
        raise BadInput(f"checkpoint {card.name}", why, "Give a checkpoint that was trained with these classes.")


def describe_map(plan: Plan, card: Card) -> dict[str, Any]:
    return {
        "store": "map",
        "grid": plan.grid_description,
        "cube": identity_of(plan.root, cube.NAME, "ingest"),
        "checkpoint": {"name": card.name, "weights_sha256": card.weights_sha256},
        "halo": plan.project.map.halo,
        "precision": plan.project.map.precision,
        "classes": plan.taxonomy.identity,
        "arrays": list(crops.map_arrays(plan.project.map.probabilities)),
    }
