"""What to write when a step does not fit the memory: the largest part that does, found by trying."""

import torch

from catalogs.errors import BadInput
from models.architectures import build
from models.memory import give_back, is_out_of_memory
from pipelines.learner import Learner
from pipelines.recipe import Recipe
from pipelines.training_batches import Batch


def step_within_memory(learner: Learner, parts: list[Batch], step: int) -> torch.Tensor:
    """`learner.step`; if it runs out of memory, the error says how many patches at once would fit."""
    try:
        return learner.step(parts, step)
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not is_out_of_memory(error):
            raise
        said = str(error).strip().splitlines()[-1][:200]
    # Here the error is gone, and with it what the step held.
    learner.optimizer.zero_grad(set_to_none=True)
    raise _too_large(learner.recipe, learner.team.size, fitting(learner.recipe, parts[0], learner.team.device), said)


def fitting(recipe: Recipe, part: Batch, device: torch.device) -> int:
    """How many patches at once fit beside what training holds already: a half of the part, a quarter, .. or none."""
    count = len(part.truth_BYX) // 2
    while count and not _fits(recipe, part, count, device):
        count //= 2
    return count


def _fits(recipe: Recipe, part: Batch, count: int, device: torch.device) -> bool:
    """Whether a pass to and fro through a network of the same kind succeeds."""
    give_back()
    try:
        network = build(recipe.card).to(device)
        answer = network(*(tensor[:count].to(device) for tensor in part.shown))
        logits = answer[0] if isinstance(answer, tuple) else answer
        logits.float().softmax(dim=1).square().sum().backward()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _too_large(recipe: Recipe, workers: int, fits: int, said: str) -> BadInput:
    training = recipe.training
    here = recipe.part // workers
    given = f"[training] batch = {training.batch}, {here} patches at once on each worker"
    if not fits:
        remedy = "Not even one patch fits: write smaller [model] settings, or a smaller [patches] size."
    else:
        each = training.batch // workers
        parts = next(parts for parts in range(1, each + 1) if each % parts == 0 and each // parts <= fits)
        remedy = f"{fits} at once fit: write accumulate = {parts}, for the same steps, or batch = {fits * workers}."
    return BadInput(given, f"is more than memory holds ({said}).", remedy)
