"""Ground of a map seen again, from windows that lie elsewhere than those that it was mapped in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from catalogs import crops, cube
from catalogs.cube import read_cube
from catalogs.grid import Window
from catalogs.region_mask import outside_region
from catalogs.stores import Store
from catalogs.taxonomy import IGNORE
from cluster.progress import Progress
from models.exactness import processor
from models.predictor import Predictor
from pipelines.map import mapping_of
from pipelines.mapping import start_mapping
from pipelines.network_actors import on_actors
from pipelines.outcomes import result_of
from pipelines.plan import Plan
from pipelines.predicting import Mapping


@dataclass(frozen=True)
class Look:
    """What was found in one square of ground."""

    square: Window
    pixels: int
    """Those in the region that have a crop, in the map or now."""
    differing: int
    """Those of them whose crop is not the same."""
    processor: str


@dataclass(frozen=True)
class Looking:
    """Sees ground with all the context that the network asks for, whatever it was mapped with."""

    job: Mapping
    predictor: Predictor
    processor: str

    def __call__(self, square: Window) -> Look:
        halo = self.predictor.halo
        ground = read_cube(Store(self.job.cube_root, cube.NAME), square.grown(halo))
        again = self.predictor.predict(ground, halo=halo).crop
        mapped = Store(self.job.root, crops.MAP).read("crop", square.slices)
        inside = ~outside_region(self.job.region, self.job.grid, square)
        compared = inside & ((again != IGNORE) | (mapped != IGNORE))
        return Look(square, int(compared.sum()), int((compared & (again != mapped)).sum()), self.processor)


def start_looking(job: Mapping, on_gpu: bool = False) -> Looking:
    return Looking(job, start_mapping(job, on_gpu).predictor, processor(on_gpu))


def look_again(plan: Plan, squares: Sequence[Window], progress: Progress) -> list[Look]:
    """On workers like those that map, in the order of the squares."""
    job = replace(mapping_of(plan, plan.project.checkpoint), learned=plan.checkpoint_root)
    found = {}
    with progress.stage("seams", len(squares), "places") as bar:
        for square, outcome in on_actors(plan, partial(start_looking, job), squares, most=1):
            found[square] = result_of(outcome, "seams could not be looked for")
            bar.advance()
    return [found[square] for square in squares]
