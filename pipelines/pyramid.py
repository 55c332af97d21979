"""What is made of a map's pixels, square by square: coarser levels and class counts; then readers are let see them."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from catalogs.chunk_table import forget_tables, is_of, write_table
from catalogs.class_counts import write_counts
from catalogs.crops import MAP, map_layouts
from catalogs.description import identity
from catalogs.grid import Tile
from catalogs.ledger import Ledger
from catalogs.multiscales import level_attributes, map_attributes
from catalogs.pyramid import (
    FINEST,
    REACH,
    Square,
    factors,
    level_coordinates,
    level_layouts,
    level_store,
    made_from,
    sources,
    square_objects,
    squares_of,
)
from catalogs.store_attributes import set_attributes
from catalogs.stores import Store
from cluster.items import each_here, item_workers
from cluster.progress import Bar, Progress
from pipelines.outcomes import Outcomes
from pipelines.plan import Plan
from pipelines.pyramid_squares import ARRAYS, SQUARES, Thinning, thin_square

FEW = 2
"""Squares that are not worth starting workers for."""

Task = tuple[Square, str]
"""A square, and of which pixels it is to be made."""


def build_pyramid(plan: Plan, progress: Progress) -> str:
    """Make what is missing or older than the pixels below it, then let readers see it. Tells which pixels they are."""
    pixels, stores = map_pixels(plan), _stores(plan)
    if not is_of(plan.root, MAP, pixels):
        forget_tables(plan.root, stores)
    begin_levels(plan)
    squares = {source: squares_of(plan.grid, source, plan.tiles) for source in sources(plan.grid)}
    with progress.stage("pyramid", sum(map(len, squares.values())), "squares") as bar:
        for found in squares.values():
            _thin_all(plan, found, bar)
    records = [Ledger(plan.root, SQUARES).record(str(square)) for square in squares[FINEST]]
    write_counts(plan.root, plan.grid, plan.taxonomy, dict(_tile_counts(plan, records)))
    if not is_of(plan.root, MAP, pixels):
        for store in reversed(stores):  # the map's own comes last, and tells that the others are there
            write_table(plan.root, store, pixels)
    set_attributes(plan.root, MAP, map_attributes(plan.grid, factors(plan.grid)))
    return pixels


def _stores(plan: Plan) -> list[str]:
    """The map and its levels."""
    return [MAP, *(f"{MAP}/{factor}" for factor in factors(plan.grid))]


def map_pixels(plan: Plan) -> str:
    """Of which pixels the map is, by what its commit records say of them."""
    return identity({"squares": [_below(plan, square) for square in squares_of(plan.grid, FINEST, plan.tiles)]})


def begin_levels(plan: Plan) -> None:
    """Templates of all levels."""
    layouts = map_layouts(plan.grid, plan.taxonomy)
    for factor in factors(plan.grid):
        about = {"store": "map", "level": factor, "grid": plan.grid_description, "classes": plan.taxonomy.identity}
        level_store(plan.root, MAP, factor).begin(
            level_layouts(layouts, plan.grid, factor),
            level_coordinates(plan.grid, factor),
            about,
            level_attributes(plan.grid, factor),
        )


def _thin_all(plan: Plan, squares: list[Square], bar: Bar) -> None:
    todo = _missing(plan, [(square, _below(plan, square)) for square in squares])
    bar.advance(len(squares) - len(todo))
    if not todo:
        return
    forget_tables(plan.root, _stores(plan))  # before shards of levels are made anew
    outcomes = Outcomes(Store(plan.root, SQUARES))
    job = Thinning(plan.root, plan.grid, len(plan.taxonomy.names))
    for task, outcome in _each(plan, partial(thin_square, job), todo):
        outcomes.add(str(task[0]), outcome)
        bar.advance()
    outcomes.check()


def _each(plan: Plan, work: Callable[[Task], Any], todo: list[Task]) -> Iterator[tuple[Task, Any]]:
    if len(todo) <= FEW:
        yield from each_here(work, todo)
        return
    with item_workers(plan.project.compute.address, plan.workers) as each:
        yield from each(work, todo)


def _missing(plan: Plan, tasks: list[Task]) -> list[Task]:
    """Those without a record of the same pixels, or whose objects are gone."""
    ledger = Ledger(plan.root, SQUARES)
    done, present = ledger.done(), set(plan.root.keys(MAP))
    return [
        (square, of)
        for square, of in tasks
        if str(square) not in done
        or ledger.record(str(square))["of"] != of
        or not all(f"{MAP}/{key}" in present for key in square_objects(plan.grid, square, ARRAYS))
    ]


def _below(plan: Plan, square: Square) -> str:
    """What the records say of the pixels that a square is made from."""
    finer = square.source // REACH
    if square.source == FINEST:
        ledger, units = Store(plan.root, MAP).ledger, [str(tile) for tile in _tiles_of(plan, square)]
    else:
        squares = squares_of(plan.grid, finer, _tiles_of(plan, square))
        ledger, units = Ledger(plan.root, SQUARES), [str(one) for one in squares]
    found = {unit: record.get("digests") for unit, record in ledger.records(units)}
    return identity({"levels": made_from(plan.grid, square.source), "digests": found})


def _tiles_of(plan: Plan, square: Square) -> list[Tile]:
    side, first = REACH * square.source, plan.grid.first
    return [
        tile
        for tile in plan.tiles
        if ((tile.row - first.row) // side, (tile.col - first.col) // side) == (square.row, square.col)
    ]


def _tile_counts(plan: Plan, records: list[dict[str, Any]]) -> Iterator[tuple[Tile, dict[str, int]]]:
    first = plan.grid.first
    for record in records:
        for place, counts in record["pixels"].items():
            row, col = map(int, place.split("-"))
            yield Tile(first.row + row, first.col + col), counts
