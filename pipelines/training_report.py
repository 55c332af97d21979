"""The report of a training: its curves, how right its network is class by class, and patches as it sees them."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from models.metrics import Confusion, score
from models.network import parameter_count
from models.predictor import NetworkPredictor, load_predictor
from pipelines.checkpoints import read_checkpoint
from pipelines.pages import template_shelf
from pipelines.patch_reading import PatchReader
from pipelines.plan import Plan
from pipelines.project.learning import VALIDATION
from pipelines.recipe import Recipe
from pipelines.report import card_lines, matrix, rate
from pipelines.training_curves import HEIGHT, WIDTH, curves_of
from pipelines.training_examples import Example, examples
from pipelines.training_loop import FIGURES
from pipelines.training_metrics import METRICS

PAGE = "index.html"


def lacks_report(recipe: Recipe) -> bool:
    """Whether a training was done and cut off before its page was written."""
    return recipe.root.exists(f"{recipe.notes}/{FIGURES}") and not recipe.root.exists(f"{recipe.notes}/{PAGE}")


def write_training_report(plan: Plan, recipe: Recipe) -> str:
    """Write page and pictures beside the metrics of a training that is done; where the page is."""
    state, card = read_checkpoint(plan.root, recipe.card.name)
    predictor = load_predictor(state, card)
    shown = examples(predictor, PatchReader(recipe.root, *recipe.also), recipe.validation, plan.taxonomy.colours)
    for place, example in enumerate(shown):
        for kind in ("ground", "truth", "guess"):
            recipe.root.write(f"{recipe.notes}/{_picture(place, kind)}", getattr(example, kind))
    parameters = parameter_count(predictor.network) if isinstance(predictor, NetworkPredictor) else None
    page = render_page(plan, recipe, card.training | {"scores": card.scores}, parameters, shown)
    recipe.root.write(f"{recipe.notes}/{PAGE}", page)
    return recipe.root.path(f"{recipe.notes}/{PAGE}")


def render_page(
    plan: Plan, recipe: Recipe, trained: Mapping[str, Any], parameters: int | None, shown: Sequence[Example]
) -> bytes:
    figures = json.loads(recipe.root.read(f"{recipe.notes}/{FIGURES}"))
    metrics = [json.loads(line) for line in recipe.root.read(f"{recipe.notes}/{METRICS}").splitlines()]
    found = score(Confusion(np.array(figures["confusion"]), np.zeros(len(plan.taxonomy.names), np.int64)))
    page = (
        template_shelf(rate=rate)
        .get_template("training_report.html")
        .render(
            recipe=recipe,
            region=plan.project.region.name,
            made_up=plan.root.exists("catalog/catalog.json"),
            watched="validation blocks" if recipe.training.stop_on == VALIDATION else recipe.training.stop_on,
            on_held_out=recipe.training.stop_on != VALIDATION,
            figures=figures,
            trained=trained,
            parameters=parameters,
            scores=found,
            speed=median(line["patches_per_second"] for line in metrics if "patches_per_second" in line),
            metrics=metrics,
            curves=curves_of(metrics),
            box=(WIDTH, HEIGHT),
            classes=class_rows(plan, found.as_dict(plan.taxonomy.names)["classes"]),
            matrix=matrix(plan.taxonomy, {"confusion": figures["confusion"]}),
            examples=[(example, [_picture(place, kind) for kind in ("ground", "truth", "guess")])
                      for place, example in enumerate(shown)],
            card=card_lines({"settings": recipe.card.settings, "training": trained}),
        )
    )  # fmt: skip
    return page.encode()


def class_rows(plan: Plan, scored: Mapping[str, Any]) -> list[dict[str, Any]]:
    taxonomy = plan.taxonomy
    named = zip(taxonomy.names, taxonomy.titles, taxonomy.colours, strict=True)
    return [{"title": title, "colour": colour, **scored[name]} for name, title, colour in named]


def _picture(place: int, kind: str) -> str:
    return f"example-{place + 1}-{kind}.png"
