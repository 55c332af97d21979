"""What all networks have in common: settings that go into a card, and one call with a season of one or more patches."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from models.errors import Misfit
from models.flow import AnyMaps
from models.normalisation import Normalisation
from models.reach import rounded_up

# Axis legend: B patch, T period, C band, K class, Y row, X column.


@dataclass(frozen=True)
class NetworkSettings:
    """The shape of a network. Each architecture adds its own; whatever it is given, it checks."""

    kind: ClassVar[str] = "network"
    """Its name in messages."""

    bands: int = 10
    periods: int = 1
    classes: int = 11

    def __post_init__(self) -> None:
        if min(self.bands, self.periods) < 1 or not 2 <= self.classes <= 255:
            raise Misfit(f"{self}", "bands and periods start at 1, classes run from 2 to 255.", "Correct the counts.")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """From a card's plain dictionary."""
        unknown = sorted(set(settings) - {field.name for field in fields(cls)})
        if unknown:
            remedy = "Remove them from the settings."
            raise Misfit(f"{cls.kind} settings {', '.join(unknown)}", f"no {cls.kind} has them.", remedy)
        try:
            return cls(**settings)
        except TypeError as error:
            raise Misfit(
                f"{cls.kind} settings", f"a value has the wrong type ({error}).", "Copy the card again."
            ) from error

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON gives back as they are."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    @abstractmethod
    def stride(self) -> int:
        """Windows must start and end on multiples of this many pixels from the grid's origin."""

    @property
    def receptive_radius(self) -> int:
        """How far, in pixels, the farthest input pixel lies that a pixel of the answer can feel; 0 if all lie within
        its own square of the stride."""
        return 0

    @property
    def halo(self) -> int:
        """The context to read around a window, in pixels: a multiple of the stride, so that windows stay aligned."""
        return rounded_up(self.receptive_radius, self.stride)

    @property
    def window(self) -> int:
        """Pixels on a side that are best mapped at once, their halo not counted: a multiple of the stride."""
        return 512

    @property
    def flow(self) -> int:
        """Pixels of the width of what flows by a CPU best, row by row, in as much memory whatever its height; 0 where
        windows are seen whole."""
        return 0

    @property
    def uses_gpu(self) -> bool:
        return True

    @property
    def finest(self) -> int:
        """Channels that it holds of each pixel at full size, about: what memory is reckoned with."""
        return 64

    def answer_bytes(self, pixels: int, probabilities: bool) -> int:
        """Crop and confidence and, where they are asked for, the probability of each class."""
        return pixels * (2 + self.classes * probabilities)

    def mapping_bytes(self, pixels: int) -> int:
        """Memory, about, that it takes to map a window of so many pixels, halo and all.

        Pixels are held as counts and three times as floats; of its own maps a network holds ten at full size.
        """
        return pixels * (14 * self.bands * self.periods + 4 * 10 * self.finest)

    def bytes_on_gpu(self, pixels: int) -> int:
        """Of a GPU's memory, about, for a window of so many pixels."""
        return 5 * NetworkSettings.mapping_bytes(self, pixels) // 2

    @property
    def is_seamless(self) -> bool:
        """Whether a pixel's answer, on windows that keep stride and halo, is the same bits in every window."""
        return True


class Network(nn.Module):
    """(B, T, C, Y, X) to (B, K, Y, X). Y and X are multiples of the stride; bands have mean 0 and spread 1.

    `seen` says where a period has data (elsewhere x is 0), `when` is the middle of each period, in days of the year or
    in degree-days. While a network with an auxiliary target trains, it gives a pair: the logits, and (B, 1, Y, X).
    """

    settings: NetworkSettings

    def __call__(self, x_BTCYX: Tensor, seen_BTYX: Tensor, when_BT: Tensor) -> Any:
        return super().__call__(x_BTCYX, seen_BTYX, when_BT)

    def accept(self, normalisation: Normalisation) -> None:
        """Be told what the bands were before they had mean 0 and spread 1; most networks need not know."""

    @property
    @abstractmethod
    def last_bias(self) -> Tensor:
        """The bias of the classes (K): training starts it from their frequencies."""


OfPixels = Callable[[Tensor, Tensor], Tensor]
"""(T, C, P), 0 where nothing was seen, and (T, P) of where it was, to (C, P)."""


class PixelsFirst(Network):
    """Looks at every pixel alone, then at what it made of them. On a CPU the first is done piece by piece."""

    pixels_at_once: ClassVar[int]
    """So many stay in a processor's cache."""

    @abstractmethod
    def alone(self, when_T: Tensor) -> OfPixels:
        """What the network makes of pixels at these dates once it has learned; on a CPU the same bits for a pixel,
        whatever is beside it, in pieces of `pixels_at_once`."""

    @abstractmethod
    def around(self, maps: AnyMaps, margin: int = 0) -> AnyMaps:
        """The logits of what lies so many pixels, in whole strides, inside the edges."""

    def each_pixel(self, x_TCP: Tensor, seen_TP: Tensor, when_T: Tensor) -> Tensor:
        """(P, C) of any number of pixels."""
        look, pixels = self.alone(when_T), x_TCP.shape[-1]
        pieces = [slice(first, first + self.pixels_at_once) for first in range(0, pixels, self.pixels_at_once)]
        if not x_TCP.is_cpu:
            pieces = [slice(None)]
        return torch.cat([self.piece(look, x_TCP[..., some].contiguous(), seen_TP[..., some]) for some in pieces])

    def piece(self, look: OfPixels, x_TCP: Tensor, seen_TP: Tensor) -> Tensor:
        """(P, C) of `pixels_at_once`, or of fewer: on a CPU these are filled up with pixels that nobody saw, because
        products of matrices of one size round alike."""
        pixels = x_TCP.shape[-1]
        if x_TCP.is_cpu and pixels < self.pixels_at_once:
            fill = 0, self.pixels_at_once - pixels
            x_TCP, seen_TP = nn.functional.pad(x_TCP, fill), nn.functional.pad(seen_TP, fill)
        return look(x_TCP, seen_TP)[:, :pixels].t().contiguous()


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def start_from_frequencies(network: Network, frequencies: Any) -> None:
    """Let the untrained network answer with the class frequencies, so that the first steps need not learn them."""
    bias = network.last_bias
    frequency = torch.as_tensor(frequencies, dtype=torch.float64)
    if frequency.shape != bias.shape or frequency.sum() <= 0 or (frequency < 0).any():
        raise Misfit(f"{len(frequency)} class frequencies", f"{len(bias)} counts >= 0 are needed.", "Count each class.")
    share = (frequency / frequency.sum()).clamp(min=1e-6)  # an unseen class stays possible
    with torch.no_grad():
        bias.copy_(share.log())
