"""How DepthSeg is trained in its paper (arXiv 2506.14382), as values."""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class TrainingPreset:
    """AdamW, and a learning rate that falls by `factor` at each of the `milestones`, shares of all steps."""

    learning_rate: float
    betas: tuple[float, float]
    weight_decay: float
    milestones: tuple[float, ...]
    factor: float
    epochs: int
    batch: int

    def steps(self, total: int) -> list[int]:
        """The milestones of `torch.optim.lr_scheduler.MultiStepLR`, stepped after each batch."""
        return [ceil(share * total) for share in self.milestones]


def _depthseg(batch: int) -> TrainingPreset:
    # The paper prints a momentum of 0.9, which is AdamW's first beta.
    return TrainingPreset(1e-4, (0.9, 0.999), 1e-3, (0.3, 0.6), 0.2, 50, batch)


DEPTHSEG: dict[str, TrainingPreset] = {"tiny": _depthseg(8), "s": _depthseg(8), "b": _depthseg(4), "l": _depthseg(2)}
"""By size of the encoder: the batches fit a GPU of 16 GB at 512 pixels."""
