"""The one call that every model answers: a window of a cube in, crops and confidence out."""

from collections.abc import Iterator, Mapping, Sequence
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
from models.window import Answer, Seen, Strips, in_strips, inside


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

    @property
    def on_cpu(self) -> bool: ...

    def predict(self, x_TBYX: Seen, probabilities: bool = False, halo: int = 0) -> Answer:
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

    @property
    def on_cpu(self) -> bool:
        return self.device.type == "cpu"

    @torch.inference_mode()
    def predict(self, x_TBYX: Seen, probabilities: bool = False, halo: int = 0) -> Answer:
        window, margin = in_strips(x_TBYX).checked(self.card), halo - halo % self.stride
        maps_BCYX, seen_YX = self._looked(window.padded(self.stride), self._when)
        known_YX = inside(seen_YX, margin).cpu().numpy()
        answer = Answer.nothing(known_YX.shape, len(self.card.classes) if probabilities else 0)
        for rows, logits_KYX in self._logits(maps_BCYX, margin):
            answer.take((rows, slice(None)), self._answer(logits_KYX.float().contiguous(), probabilities))
        answer.forget(~known_YX)
        cut = halo - margin
        return answer.part(slice(cut, window.height - halo - margin), slice(cut, window.width - halo - margin))

    @torch.inference_mode()
    def logits(self, used_TBYX: NDArray[np.uint16], shift: float = 0.0) -> Tensor:
        """(1, class, y, x) of a window of the periods that are used; with `shift`, as if they lay so much later."""
        window = in_strips(used_TBYX)
        maps_BCYX, _ = self._looked(window.padded(self.stride), self._when + shift)
        whole_KYX = torch.cat([part_KYX for _, part_KYX in self._logits(maps_BCYX, 0)], dim=-2)
        return whole_KYX[None, :, : window.height, : window.width].float().contiguous()

    @property
    def _when(self) -> Tensor:
        return torch.tensor([self.card.used_middles], dtype=torch.float32, device=self.device)

    def _computing(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _looked(self, used: Strips, when_BT: Tensor) -> tuple[Tensor, Tensor]:
        """What the network makes of all pixels (1, C, Y, X), and where any period has data (Y, X)."""
        with self._computing():
            if isinstance(self.network, PixelsFirst):
                return self._pixel_by_pixel(self.network, used, when_BT[0])
            x_BTCYX, seen_BTYX = self._shown(used.whole())
            return self.network(x_BTCYX, seen_BTYX, when_BT), seen_BTYX[0].any(dim=0)

    def _logits(self, maps_BCYX: Tensor, margin: int) -> Iterator[tuple[slice, Tensor]]:
        """(K, Y, X) of some rows at a time, where the network takes maps of them, counted from the margin on."""
        height, network = maps_BCYX.shape[-2] - 2 * margin, self.network
        if not isinstance(network, PixelsFirst):
            yield slice(0, height), inside(maps_BCYX, margin)[0]
            return
        more = max(self.halo - margin, 0)  # of the context of some rows, what the margin does not hold
        step = network.rows_at_once if self.on_cpu else height
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            first, last = max(top - more, 0), min(rows.stop + more, height)
            with self._computing():
                logits_BKYX = network.around(maps_BCYX[..., first : last + 2 * margin, :], margin)
            yield rows, logits_BKYX[0, :, top - first : rows.stop - first]

    def _pixel_by_pixel(self, network: PixelsFirst, used: Strips, when_T: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels are made ready as the network comes to them, not all at once: they stay in a processor's cache."""
        look, done, maps_PC = network.alone(when_T), 0, torch.empty(0)
        seen_P = torch.empty(used.height * used.width, dtype=torch.bool, device=self.device)
        for strip_TBYX in used.strips_TBYX:
            strip_TBP = strip_TBYX.reshape(*strip_TBYX.shape[:2], -1)
            at_once = network.pixels_at_once if self.on_cpu else strip_TBP.shape[-1]
            for first in range(0, strip_TBP.shape[-1], at_once):
                x_BTCYP, seen_BTYP = self._shown(strip_TBP[..., None, first : first + at_once])
                x_TCP, seen_TP = x_BTCYP[0, ..., 0, :], seen_BTYP[0, :, 0]
                found_PC, here = network.piece(look, x_TCP, seen_TP), slice(done, done + x_TCP.shape[-1])
                if not done:
                    maps_PC = found_PC.new_empty(len(seen_P), found_PC.shape[-1])
                maps_PC[here], seen_P[here] = found_PC, seen_TP.any(dim=0)
                done = here.stop
        assert done == len(seen_P), f"{done} of {len(seen_P)} pixels came"
        shape = used.height, used.width
        return torch.unflatten(maps_PC, 0, shape).permute(2, 0, 1)[None], seen_P.view(shape)

    def _shown(self, used_TBYX: NDArray[np.uint16]) -> tuple[Tensor, Tensor]:
        """What the network is shown, and where there is data. A GPU is given the bytes and works on them itself."""
        if self.on_cpu:
            seen_TYX = torch.from_numpy(np.bitwise_or.reduce(used_TBYX, axis=1) != NO_DATA)
            return normalise(used_TBYX, self.card.normalisation)[None], seen_TYX[None]
        raw_TBYX = on_device(used_TBYX, self.device)
        return normalise(raw_TBYX, self.card.normalisation)[None], (raw_TBYX != NO_DATA).any(dim=1)[None]

    def _answer(self, logits_KYX: Tensor, probabilities: bool) -> Answer:
        highest, crop = logits_KYX.max(dim=0)
        weight_KYX = logits_KYX.sub_(highest).div_(self.card.temperature).exp_()
        percent = weight_KYX.sum(dim=0).reciprocal_().mul_(100)  # softmax of the highest, without that of the rest
        each_KYX = _bytes(weight_KYX.mul_(percent)) if probabilities else None
        return Answer(crop.to(torch.uint8).cpu().numpy(), _bytes(percent), each_KYX)


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
