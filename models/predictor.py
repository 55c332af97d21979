"""The one call that every model answers: a window of a cube in, crops and confidence out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.architectures import build, settings_of
from models.card import Card, Period
from models.errors import Misfit
from models.forest_predictor import load_forest
from models.forest_settings import ForestSettings
from models.network import Network, PixelsFirst
from models.normalisation import NO_DATA, normalise
from models.window import Answer, check_window, inside


class Predictor(Protocol):
    """Windows must begin on multiples of `stride` from the grid's origin; what lies within `halo` of a window's edge
    lacks context and is to be cut away by the caller. Then no window's shape or place shows in the map. Without their
    halo, windows of `window` pixels on a side are best."""

    @property
    def card(self) -> Card: ...

    @property
    def halo(self) -> int: ...

    @property
    def stride(self) -> int: ...

    @property
    def window(self) -> int: ...

    def predict(self, x_TBYX: NDArray[np.uint16], probabilities: bool = False, halo: int = 0) -> Answer:
        """Of each pixel, 255 where no period that the model uses has data; the probability of each class if asked.

        Of a window's outermost `halo` pixels, which are only context, nothing is said.
        """
        ...


@dataclass(frozen=True, eq=False)
class NetworkPredictor:
    """A network in torch."""

    card: Card
    network: Network
    device: torch.device
    dtype: torch.dtype = torch.float32
    """What it computes in: bfloat16 is faster where the processor has it, and rounds more."""

    @property
    def halo(self) -> int:
        return self.network.settings.halo

    @property
    def stride(self) -> int:
        return self.network.settings.stride

    @property
    def window(self) -> int:
        return self.network.settings.window

    def predict(self, x_TBYX: NDArray[np.uint16], probabilities: bool = False, halo: int = 0) -> Answer:
        check_window(self.card, x_TBYX)
        used_TBYX = x_TBYX if self._uses_all else x_TBYX[list(self.card.period_index)]
        answer = self._answer(used_TBYX, probabilities, halo)
        answer.forget(inside(used_TBYX, halo).max(axis=(0, 1)) == NO_DATA)
        return answer

    @property
    def _uses_all(self) -> bool:
        return self.card.period_index == tuple(range(len(self.card.periods)))

    @torch.inference_mode()
    def logits(self, used_TBYX: NDArray[np.uint16], shift: float = 0.0, halo: int = 0) -> Tensor:
        """(1, class, y, x) of a window of the periods that are used; with `shift`, as if they lay so much later."""
        height, width = used_TBYX.shape[-2:]
        when_BT = torch.tensor([self.card.used_middles], dtype=torch.float32, device=self.device) + shift
        margin = halo - halo % self.stride
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            answer = self._answered(self._padded(used_TBYX), when_BT, margin)
        answer = answer[:, :, : height - 2 * margin, : width - 2 * margin]
        return inside(answer, halo - margin).float().contiguous()

    def _answered(self, used_TBYX: NDArray[np.uint16], when_BT: Tensor, margin: int) -> Tensor:
        """Rows that a network looks at pixel by pixel are made ready as it comes to them, not all at once."""
        network = self.network
        if not isinstance(network, PixelsFirst):
            answer: Tensor = network(*self._shown(used_TBYX), when_BT)
            return inside(answer, margin)
        height, width = used_TBYX.shape[-2:]
        rows = max(network.pixels_at_once // width, 1) if self.device.type == "cpu" else height
        strips = [used_TBYX[:, :, y : y + rows] for y in range(0, height, rows)]
        maps = torch.cat([network.alone(*self._shown(strip), when_BT) for strip in strips], dim=-2)
        return network.around(maps, margin)

    def _shown(self, used_TBYX: NDArray[np.uint16]) -> tuple[Tensor, Tensor]:
        """What the network is shown, and where there is data. A GPU is given the bytes and works on them itself."""
        if self.device.type == "cpu":
            seen_TYX = torch.from_numpy(used_TBYX.max(axis=1) != NO_DATA)
            return normalise(used_TBYX, self.card.normalisation)[None], seen_TYX[None]
        raw_TBYX = on_device(used_TBYX, self.device)
        return normalise(raw_TBYX, self.card.normalisation)[None], (raw_TBYX != NO_DATA).any(dim=1)[None]

    @torch.inference_mode()
    def _answer(self, used_TBYX: NDArray[np.uint16], probabilities: bool, halo: int) -> Answer:
        logits_KYX = self.logits(used_TBYX, halo=halo)[0]
        highest, crop = logits_KYX.max(dim=0)
        weight_KYX = logits_KYX.sub_(highest).div_(self.card.temperature).exp_()
        percent = weight_KYX.sum(dim=0).reciprocal_().mul_(100)  # softmax of the highest, without that of the rest
        each_KYX = _bytes(weight_KYX.mul_(percent)) if probabilities else None
        return Answer(crop.to(torch.uint8).cpu().numpy(), _bytes(percent), each_KYX)

    def _padded(self, x_TBYX: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """No data below and to the right, so that the window's own pixels stay aligned."""
        below, right = (-side % self.stride for side in x_TBYX.shape[-2:])
        return np.pad(x_TBYX, [(0, 0), (0, 0), (0, below), (0, right)]) if below or right else x_TBYX


def on_device(x: NDArray[np.uint16], device: torch.device) -> Tensor:
    """The numbers as float32 there: half as many bytes travel, out of memory that a GPU reads by itself."""
    numbers = torch.from_numpy(np.ascontiguousarray(x).view(np.int16))  # 16 bits that every operation knows
    if device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True).to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)


def _bytes(percent: Tensor) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = percent.round_().to(torch.uint8).cpu().numpy()
    return rounded


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_predictor(state: Mapping[str, Tensor], card: Card, device: str = "cpu", precision: str = "fp32") -> Predictor:
    """A predictor from what `checkpoint.decode` gives; forests stay on the CPU, and have one precision."""
    settings = settings_of(card)
    if isinstance(settings, ForestSettings):
        return load_forest(state, card, settings)
    network = build(card)
    _fill(network, state, card)
    ready = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return NetworkPredictor(card, ready, torch.device(device), PRECISIONS[precision])


def _fill(network: nn.Module, state: Mapping[str, Tensor], card: Card) -> None:
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        why = f"the weights are not those of its settings ({first[0].strip()})."
        raise Misfit(f"checkpoint {card.name}", why, "Give weights and card of one training.") from error


def check_fits(card: Card, bands: Sequence[str], periods: Sequence[Period]) -> None:
    """Refuse a cube that is not made like the one the checkpoint was trained on; another year's season is welcome."""
    given = f"checkpoint {card.name}"
    if tuple(bands) != card.bands:
        why = f"it was trained on bands {' '.join(card.bands)}, and the cube has {' '.join(bands)}."
        raise Misfit(given, why, "Ingest the same bands in the same order, or train on this cube.")
    if len(periods) != len(card.periods):
        why = f"it was trained on {len(card.periods)} periods, and the cube has {len(periods)}."
        raise Misfit(given, why, "Give the project the season and periods of the training, or train on this cube.")
    for index in card.period_index:
        ours, theirs = card.periods[index], periods[index]
        if not _same_season(ours, theirs):
            why = f"period {index} was {_said(ours)} in training, and is {_said(theirs)} in the cube."
            raise Misfit(given, why, "Give the project the season and periods of the training, or train on this cube.")


def _same_season(ours: Period, theirs: Period) -> bool:
    """The same label, or the same days of any year, give or take the one of a leap year."""
    if isinstance(ours, str) or isinstance(theirs, str):
        return ours == theirs
    return all(_near(a, b) for a, b in zip(ours, theirs, strict=True))


def _near(ours: str, theirs: str) -> bool:
    apart = abs(_day_of_year(ours) - _day_of_year(theirs))
    return min(apart, 366 - apart) <= 1


def _day_of_year(day: str) -> int:
    return date.fromisoformat(day).replace(year=2000).timetuple().tm_yday  # 2000 has every day that a year can have


def _said(period: Period) -> str:
    return period if isinstance(period, str) else " to ".join(period)
