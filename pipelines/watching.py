"""How right a network is while it trains, on patches that it does not learn from."""

from contextlib import closing

import numpy as np
import torch

from cluster.training import Team
from models.errors import Misfit
from models.metrics import Confusion, confusion
from models.network import Network
from pipelines.patch_reading import PatchReader
from pipelines.recipe import Recipe
from pipelines.training_batches import Batch, watched_parts


@torch.inference_mode()
def watch(recipe: Recipe, network: Network, reader: PatchReader, team: Team) -> Confusion:
    """One count over the patches of all workers."""
    network.eval()
    found = Confusion.empty(len(recipe.card.classes))
    with closing(watched_parts(recipe, reader, team.rank, team.size, team.device)) as parts:
        for part in parts:
            found += _counted(recipe, network, part, team.device)
    network.train()
    matrix = team.total(torch.from_numpy(found.matrix).to(team.device)).cpu().numpy()
    if not matrix.any():
        raise Misfit(
            f"{len(recipe.validation)} patches to watch the training of {recipe.card.name} with",
            "have no labelled pixel on ground that was seen.",
            "Write another [patches] seed, a smaller block or margin, or a larger validation_share.",
        )
    return Confusion(matrix, found.unmapped)


def _counted(recipe: Recipe, network: Network, part: Batch, device: torch.device) -> Confusion:
    here = part.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.training.precision == "bf16"):
        answer = network(*here.shown)
    guess = answer.argmax(dim=1).to(torch.uint8).cpu().numpy()
    seen = part.shown[1].any(dim=1).numpy()
    truth = np.where(seen, part.truth_BYX.numpy(), np.uint8(255))
    return confusion(truth, guess, len(recipe.card.classes))
