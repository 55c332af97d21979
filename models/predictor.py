"""The one call that every model answers: a window of a cube in, crops and confidence out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.architectures import build, settings_of
from models.card import Card, Period
from models.errors import Misfit
from models.flow import Flow, Whole
from models.forest_predictor import load_forest
from models.forest_settings import ForestSettings
from models.network import Network, OfPixels, PixelsFirst
from models.normalisation import NO_DATA, normalise
from models.slabs import slabs_of
from models.window import NO_CLASS, Answer, Blocks, Counts, Seen, in_blocks, inside


class Predictor(Protocol):
    """Windows must begin on multiples of `stride` from the grid's origin; what lies within `halo` of a window's edge
    lacks context and is to be cut away by the caller. Then no window's shape or place shows in the map. Without their
    halo, windows of `window` pixels on a side are best, or what flows by and is `flow` pixels wide."""

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

    @property
    def flow(self) -> int:
        """Pixels of the width of what is seen row by row, at any height; 0 where windows are seen whole."""
        ...

    def room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """For the pixels of a window, where it takes them from best."""
        ...

    def held(self, x_TBYX: NDArray[np.uint16]) -> Any:
        """The same pixels where the network computes, of which windows are cut."""
        ...

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

    @property
    def flow(self) -> int:
        return self.network.settings.flow if self.on_cpu else 0

    def room(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """A GPU fetches by itself from memory that stays in its place. PyTorch keeps such memory for the next window:
        to ask the system for it takes longer than to fill it."""
        if self.device.type != "cuda":
            return np.empty(shape, dtype)
        bytes_there = torch.empty(prod(shape) * dtype.itemsize, dtype=torch.uint8, pin_memory=True)
        return bytes_there.numpy().view(dtype).reshape(shape)

    def held(self, x_TBYX: NDArray[np.uint16]) -> Any:
        return x_TBYX if self.on_cpu else counts_on(x_TBYX, self.device)

    @torch.inference_mode()
    def predict(self, x_TBYX: Seen, probabilities: bool = False, halo: int = 0) -> Answer:
        window, margin = in_blocks(x_TBYX).checked(self.card), halo - halo % self.stride
        used = window.padded(self.stride)
        seen_YX, parts_BKYX = self._logits(used, self._when, margin)
        shape = used.height - 2 * margin, used.width - 2 * margin
        answer, top = Answer.nothing(shape, len(self.card.classes) if probabilities else 0), 0
        for logits_BKYX in parts_BKYX:
            rows = slice(top, top := top + logits_BKYX.shape[-2])
            known_YX = inside(seen_YX, margin)[rows]
            answer.take((rows, slice(None)), self._answer(logits_BKYX[0].float().contiguous(), known_YX, probabilities))
        assert top == shape[0], f"{top} rows of {shape[0]} came"
        cut = halo - margin
        return answer.part(slice(cut, window.height - halo - margin), slice(cut, window.width - halo - margin))

    @torch.inference_mode()
    def logits(self, used_TBYX: NDArray[np.uint16], shift: float = 0.0) -> Tensor:
        """(1, class, y, x) of a window of the periods that are used; with `shift`, as if they lay so much later."""
        window = in_blocks(used_TBYX)
        _, parts_BKYX = self._logits(window.padded(self.stride), self._when + shift)
        return torch.cat([*parts_BKYX], dim=-2)[..., : window.height, : window.width].float().contiguous()

    @property
    def _when(self) -> Tensor:
        return torch.tensor([self.card.used_middles], dtype=torch.float32, device=self.device)

    def _logits(self, used: Blocks, when_BT: Tensor, margin: int = 0) -> tuple[Tensor, Iterator[Tensor]]:
        """Where any period has data (Y, X), known of rows that have come; and without the margin (1, K, Y, X), some
        rows at a time on a CPU where the network allows it."""
        seen_YX = torch.empty(used.height, used.width, dtype=torch.bool, device=self.device)
        return seen_YX, self._computed(self._parts(used, when_BT, margin, seen_YX))

    def _computed(self, parts: Iterator[Tensor]) -> Iterator[Tensor]:
        """What is asked for is computed in the right precision, and who asks is left alone with it."""
        while True:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _parts(self, used: Blocks, when_BT: Tensor, margin: int, seen_YX: Tensor) -> Iterator[Tensor]:
        network = self.network
        if isinstance(network, PixelsFirst) and self.flow:
            free = Flow.most_kept(self.stride)
            slabs = self._slabs(network, used, when_BT[0], seen_YX, free)
            yield from network.around(Flow.of(slabs, used.height, self.stride, free), margin)
            return
        x_BTCYX, seen_BTYX = self._shown(used.whole())
        seen_YX[...] = seen_BTYX[0].any(dim=0)
        if isinstance(network, PixelsFirst):
            yield network.around(Whole(self._maps(network, network.alone(when_BT[0]), x_BTCYX, seen_BTYX)), margin).x
        else:
            yield inside(network(x_BTCYX, seen_BTYX, when_BT), margin)

    def _maps(self, network: PixelsFirst, look: OfPixels, x_BTCYX: Tensor, seen_BTYX: Tensor) -> Tensor:
        """What the network makes of each pixel alone (1, C, Y, X)."""
        found_PC = network.piece(look, x_BTCYX[0].flatten(-2), seen_BTYX[0].flatten(-2))
        return torch.unflatten(found_PC, 0, x_BTCYX.shape[-2:]).permute(2, 0, 1)[None]

    def _slabs(
        self, network: PixelsFirst, used: Blocks, when_T: Tensor, seen_YX: Tensor, free: int
    ) -> Iterator[Tensor]:
        """The same of some rows of a window at a time, below some that are free."""
        look = network.alone(when_T)

        def maps_of(used_TBYX: Counts) -> tuple[Tensor, Tensor]:
            x_BTCYX, seen_BTYX = self._shown(used_TBYX)
            any_YX = seen_BTYX[0].view(torch.uint8).amax(dim=0).view(torch.bool)  # a fifth of what `any` takes
            return self._maps(network, look, x_BTCYX, seen_BTYX), any_YX

        return slabs_of(used, maps_of, network.pixels_at_once, seen_YX, free)

    def _shown(self, used_TBYX: Counts) -> tuple[Tensor, Tensor]:
        """What the network is shown, and where there is data. A GPU is given the bytes and works on them itself."""
        if self.on_cpu:
            assert isinstance(used_TBYX, np.ndarray)
            used_TBYX = np.ascontiguousarray(used_TBYX)
            seen_TYX = torch.from_numpy(np.bitwise_or.reduce(used_TBYX, axis=1) != NO_DATA)
            return normalise(used_TBYX, self.card.normalisation)[None], seen_TYX[None]
        raw_TBYX = as_floats(used_TBYX if isinstance(used_TBYX, Tensor) else counts_on(used_TBYX, self.device))
        return normalise(raw_TBYX, self.card.normalisation)[None], (raw_TBYX != NO_DATA).any(dim=1)[None]

    def _answer(self, logits_KYX: Tensor, known_YX: Tensor, probabilities: bool) -> Answer:
        highest, crop = _highest(logits_KYX)
        weight_KYX = logits_KYX.sub_(highest).div_(self.card.temperature).exp_()
        percent = weight_KYX.sum(dim=0).reciprocal_().mul_(100)  # softmax of the highest, without that of the rest
        each_KYX = weight_KYX.mul_(percent).round_() if probabilities else None
        layers = crop, percent.round_(), *(() if each_KYX is None else (each_KYX,))
        return Answer(*(_bytes(layer, ~known_YX) for layer in layers))


def _highest(logits_KYX: Tensor) -> tuple[Tensor, Tensor]:
    """And the first class that has it. On a CPU PyTorch's `max` takes many times as long as NumPy does to compare."""
    if not logits_KYX.is_cpu:
        return logits_KYX.max(dim=0)
    highest_YX = logits_KYX.amax(dim=0)
    crop, lower = np.zeros(highest_YX.shape, np.uint8), np.ones(highest_YX.shape, bool)
    for logit in logits_KYX[:-1].numpy():
        lower &= logit != highest_YX.numpy()
        crop += lower
    return highest_YX, torch.from_numpy(crop)


def counts_on(x: NDArray[np.uint16], device: torch.device) -> Tensor:
    """As 16 bits that every operation knows: half as many bytes travel as of floats, out of memory that a GPU reads by
    itself."""
    numbers = torch.from_numpy(np.ascontiguousarray(x).view(np.int16))
    if device.type == "cuda":
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)


def as_floats(counts: Tensor) -> Tensor:
    return counts.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)


def _bytes(layer: Tensor, unknown_YX: Tensor) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = layer.to(torch.uint8).masked_fill_(unknown_YX, NO_CLASS).cpu().numpy()
    return found


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
