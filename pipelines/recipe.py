"""Everything that decides the weights of one network, and where they are kept."""

from dataclasses import dataclass

from catalogs.root import Root
from models.augmentation import Augmentation
from models.batch_loss import LossSettings
from models.card import Card
from pipelines.pretrained import WeightsFile
from pipelines.project.learning import Training


@dataclass(frozen=True)
class Structure:
    """What a network learns beside its classes, and the file that it is made of, if it is made of one."""

    target: str
    teacher: WeightsFile | None = None
    elevation: str = ""


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to train one network."""

    root: Root
    card: Card
    training: Training
    train: tuple[int, ...]
    validation: tuple[int, ...]
    """The patches that choose the best epoch: of validation blocks, or of ground that is held out."""
    class_pixels: tuple[int, ...]
    also: tuple[Root, ...] = ()
    """Other roots whose patches are among the numbers."""
    loss: LossSettings = LossSettings()
    class_weights: str = "inverse_sqrt"
    augmentation: Augmentation = Augmentation()
    encoder: WeightsFile | None = None
    """What a part of the network begins with, in place of chance."""
    structure: Structure | None = None

    @property
    def folder(self) -> str:
        return f"checkpoints/{self.card.name}"

    @property
    def notes(self) -> str:
        """Where metrics and the report go."""
        return f"training/{self.card.name}"

    @property
    def steps(self) -> int:
        return self.training.epochs * self.steps_an_epoch

    @property
    def steps_an_epoch(self) -> int:
        return len(self.train) // self.training.batch

    @property
    def part(self) -> int:
        """Patches, over all workers, that go through the network at once."""
        return self.training.batch // self.training.accumulate
