"""A network that has learned nothing, in the place of one that will: it takes as long."""

from catalogs.bands import BANDS
from catalogs.root import Root
from models.architectures import FORESTS, build
from models.card import Card
from models.checkpoint import encode
from models.normalisation import Normalisation
from pipelines.checkpoints import card_in
from pipelines.plan import Plan

UNTRAINED = "untrained"


def can_be_mapped(plan: Plan) -> bool:
    """How long a forest takes depends on how its trees have grown."""
    known = card_in(plan.checkpoint_root, plan.project.checkpoint) is not None
    return known or plan.project.model.architecture not in FORESTS


def checkpoint_or_twin(plan: Plan, beside: Root) -> tuple[Root, Card]:
    """Where the project's checkpoint lies, and its card; before there is one, an untrained one of the same network."""
    if card := card_in(plan.checkpoint_root, plan.project.checkpoint):
        return plan.checkpoint_root, card
    card = _card(plan)
    for file, data in encode(build(card).state_dict(), card).items():
        beside.write(f"checkpoints/{plan.project.checkpoint}/{file}", data)
    return beside, card


def _card(plan: Plan) -> Card:
    settings = plan.model
    return Card(
        name=UNTRAINED,
        architecture=plan.project.model.architecture,
        settings=settings.as_dict(),
        bands=BANDS,
        periods=plan.period_names,
        middles=plan.middles,
        period_index=tuple(range(settings.periods)),
        classes=dict(enumerate(plan.taxonomy.names)),
        normalisation=Normalisation((2000.0,) * len(BANDS), (1000.0,) * len(BANDS)),
        training_identity="",
    )
