"""What earlier verbs left in the root, for those that build on it: on the same ground, and whole."""

from collections.abc import Callable

from catalogs import crops, cube
from catalogs.chunk_table import forget_tables
from catalogs.cube import cube_units
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.root import Root
from catalogs.stores import Store, plane_objects
from pipelines.outcomes import Unfinished
from pipelines.plan import Plan

SCORES = "report/scores.json"
ITEM = "map.json"
"""The map's STAC item: what makes a map visible."""

Units = list[tuple[str, tuple[str, ...]]]
"""Names of units of work, each with the objects that it writes."""

VERB_OF = {cube.NAME: "ingest", crops.LABELS: "label", crops.MAP: "map"}


def units_of(plan: Plan, name: str) -> Units:
    """What the plan asks of a store on its grid."""
    return _UNITS[name](plan)


def check_whole(plan: Plan, *names: str) -> None:
    """Refuse to build on a store of another ground, or one with holes in place of tiles."""
    for name in names:
        root = plan.cube_root if name == cube.NAME else plan.root
        store = Store(root, name)
        described = store.description()
        if described is None:
            raise missing(root, name, VERB_OF[name])
        store.check(described["grid"], plan.grid_description)
        lacking = store.missing(units_of(plan, name))
        if lacking:
            raise Unfinished(f"{name} lacks {len(lacking)} units; give `furrow {VERB_OF[name]}` again")


def hide_map(plan: Plan) -> None:
    """What is said of a published map's pixels goes before any of them changes."""
    plan.root.remove(ITEM)
    forget_tables(plan.root, [crops.MAP])


def identity_of(root: Root, name: str, verb: str) -> str:
    """What a store was planned from, in one word; refuses if there is no such store yet."""
    described = Store(root, name).description()
    if described is None:
        raise missing(root, name, verb)
    return identity(described)


def missing(root: Root, name: str, verb: str) -> BadInput:
    return BadInput(root.path(name), "is not there yet.", f"Give `furrow {verb}` first, or `furrow run` for all.")


def _cube(plan: Plan) -> Units:
    return [(unit.name, unit.objects(plan.grid)) for unit in cube_units(plan.tiles, plan.periods)]


def _planes(*arrays: str) -> Callable[[Plan], Units]:
    return lambda plan: [(str(tile), plane_objects(plan.grid, tile, arrays)) for tile in plan.tiles]


def _map(plan: Plan) -> Units:
    probabilities = plan.project.map.probabilities
    return [(str(tile), crops.map_objects(plan.grid, tile, probabilities)) for tile in plan.tiles]


_UNITS: dict[str, Callable[[Plan], Units]] = {
    cube.NAME: _cube,
    crops.LABELS: _planes("crop", "parcel"),
    crops.MAP: _map,
}
