"""Official weights from the disk or from S3: a safetensors file, and the hash that goes into the card."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from catalogs.errors import BadInput
from catalogs.root import Root
from models.adapters import fill_official
from models.depth_teacher import DepthTeacher, teacher_from
from models.encoder_sizes import PATCH
from models.errors import Misfit
from models.renaming import State

ENDING = ".safetensors"
WHERE = "docs/depth.md and docs/networks.md say where to get it."

Built = TypeVar("Built")


@dataclass(frozen=True)
class WeightsFile:
    """A file that was read once: where it lies, and the SHA-256 of what it held."""

    where: str
    digest: str

    def read(self) -> "Pretrained":
        """The same once more, perhaps on another machine."""
        found = read_pretrained(self.where)
        if found.digest != self.digest:
            why = "is another file than when this training began."
            raise BadInput(f"weights {self.where}", why, "Put the first one back, or train under another [model] name.")
        return found


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a file holds. `note` goes into a card: weights are known by what they are, not by where they lay."""

    where: str
    digest: str
    state: State

    @property
    def file(self) -> WeightsFile:
        return WeightsFile(self.where, self.digest)

    @property
    def note(self) -> dict[str, str]:
        return {"file": self.where.rsplit("/", 1)[-1], "sha256": self.digest}


def read_pretrained(where: str) -> Pretrained:
    """From a path or an s3:// address. Pickled weights are refused by their name: unpickling runs what they say."""
    folder, slash, name = where.rpartition("/")
    if not name.endswith(ENDING):
        why = f"is no {ENDING} file, and nothing else is read (a .pth is a pickle, which can run code)."
        raise BadInput(f"weights {where}", why, f"Give the maker's model{ENDING}; {WHERE}")
    data = _read(Root(folder + slash or "."), name, where)
    try:
        return Pretrained(where, sha256(data).hexdigest(), load(data))
    except (SafetensorError, ValueError) as error:
        raise BadInput(
            f"weights {where}", f"is cut short or no safetensors ({error}).", "Download it again."
        ) from error


def give_encoder(encoder: nn.Module, weights: Pretrained) -> None:
    """Fill an encoder with weights that were made for it: DINOv2's with those of Depth Anything as well."""
    _fitting(weights, lambda: fill_official(encoder, weights.state))


def make_teacher(weights: Pretrained, token: int = PATCH) -> DepthTeacher:
    return _fitting(weights, lambda: teacher_from(weights.state, token))


def _fitting(weights: Pretrained, build: Callable[[], Built]) -> Built:
    try:
        return build()
    except Misfit as error:
        raise BadInput(f"weights {weights.where}", f"do not fit: {error.given}: {error.why}", error.remedy) from error


def _read(root: Root, name: str, where: str) -> bytes:
    try:
        return root.read(name)
    except FileNotFoundError as error:
        raise BadInput(f"weights {where}", "is not there.", f"Check the path; {WHERE}") from error
    except Exception as error:  # OSError, or an error of botocore, which s3fs lets through as it is
        raise BadInput(f"weights {where}", f"cannot be read ({error}).", "Check its rights and its address.") from error
