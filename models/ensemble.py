"""Several networks, each calibrated, that see the same ground in several ways: what self-training is taught by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import Temperature
from models.errors import Misfit
from models.label_shift import with_prior
from models.normalisation import NO_DATA
from models.predictor import NetworkPredictor, Predictor
from models.window import check_window

Values = NDArray[np.float64]

# Axis legend: T period, B band, K class, Y row, X column.


@dataclass(frozen=True)
class View:
    """A way to see the ground: turned by quarters, mirrored, and at dates that are moved."""

    quarters: int = 0
    mirrored: bool = False
    shift: float = 0.0

    def of(self, x: NDArray[Any]) -> NDArray[Any]:
        """Its last two axes are Y and X."""
        x = np.rot90(x, self.quarters, axes=(-2, -1))
        return np.ascontiguousarray(x[..., ::-1] if self.mirrored else x)

    def back(self, x: NDArray[Any]) -> NDArray[Any]:
        """Pixels where they were."""
        return np.rot90(x[..., ::-1] if self.mirrored else x, -self.quarters, axes=(-2, -1))


PLAIN = View()


def views_of(count: int, shift: float) -> tuple[View, ...]:
    """Up to eight, all symmetries of a square, the plain one first; every second of them at another time."""
    turned = [(0, False), (0, True), (1, False), (2, False), (3, False), (1, True), (2, True), (3, True)]
    shifts = [0.0, shift, 0.0, -shift, 0.0, shift, 0.0, -shift]
    if not 1 <= count <= len(turned):
        raise Misfit(f"{count} views", f"there are 1 to {len(turned)}.", "Ask for as many.")
    return tuple(View(*turn, moved) for turn, moved in zip(turned[:count], shifts, strict=False))


@dataclass(frozen=True, eq=False)
class Member:
    """A network and the temperature that mends its probabilities."""

    predictor: NetworkPredictor
    temperature: Temperature

    def probabilities(self, x_TBYX: NDArray[np.uint16], view: View = PLAIN) -> Values:
        """Calibrated, (y, x, class)."""
        card = self.predictor.card
        check_window(card, x_TBYX)
        used_TBYX = view.of(x_TBYX[list(card.period_index)])
        logits_KYX = view.back(self.predictor.logits(used_TBYX, view.shift)[0].float().cpu().numpy())
        return self.temperature.probabilities(np.moveaxis(logits_KYX, 0, -1))

    def blind_YX(self, x_TBYX: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Where no period that it uses has data."""
        return np.asarray((x_TBYX[list(self.predictor.card.period_index)] == NO_DATA).all(axis=(0, 1)))


@dataclass(frozen=True, eq=False)
class Ensemble:
    members: tuple[Member, ...]

    @property
    def halo(self) -> int:
        return max(member.predictor.halo for member in self.members)

    @property
    def stride(self) -> int:
        return int(np.lcm.reduce([member.predictor.stride for member in self.members]))

    @property
    def window(self) -> int:
        """The smallest that is best for one of them."""
        smallest = min(member.predictor.window for member in self.members)
        return max(smallest // self.stride, 1) * self.stride

    def looks(
        self, x_TBYX: NDArray[np.uint16], views: Sequence[View], source_K: Values, target_K: Values
    ) -> Iterator[Values]:
        """(class, y, x) of each member and view, corrected for the shares of classes; all 0 where nothing was seen."""
        for member in self.members:
            blind_YX = member.blind_YX(x_TBYX)
            for view in views:
                p_KYX = np.moveaxis(with_prior(member.probabilities(x_TBYX, view), source_K, target_K), -1, 0)
                yield np.where(blind_YX, 0.0, p_KYX)

    def plain(self, x_TBYX: NDArray[np.uint16]) -> Values:
        """Mean of the members as they see the ground, (class, y, x), for the source's shares of classes."""
        uniform = np.full(len(self.members[0].predictor.card.classes), 1.0)
        found = list(self.looks(x_TBYX, (PLAIN,), uniform, uniform))
        return np.asarray(np.where((np.stack(found).sum(axis=1) > 0).all(axis=0), sum(found) / len(found), 0.0))


def needs_network(predictor: Predictor) -> NetworkPredictor:
    """A forest has no logits to calibrate."""
    if not isinstance(predictor, NetworkPredictor):
        why = f"is of the architecture {predictor.card.architecture}, which gives no logits."
        raise Misfit(f"teacher {predictor.card.name}", why, "Name a network in [selftrain] teachers.")
    return predictor
