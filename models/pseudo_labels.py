"""Labels for a country without any: fields that an ensemble names surely, chosen by class, painted pixel by pixel.

Every rule is one condition of its own, and ranks are taken among all fields of a class, whatever other rules say of
them. So a stricter setting can only take fields away, never let others in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.consensus import NO_CLASS, Consensus
from models.errors import Misfit
from models.field_votes import NO_FIELD, FieldVotes, is_sure

IGNORE = 255
BACKGROUND = 0

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

# Axis legend: F field, K class, Y row, X column.


@dataclass(frozen=True)
class PseudoLabelSettings:
    """What a field and its pixels must fulfil; shares are from 0 to 1."""

    share: float = 0.2
    """Of each class, by pixels: the most confident fields."""
    most_raise: float = 2.0
    """By how much at most `share` grows for a class that is found less often than it should be."""
    least_agreement: float = 0.8
    """Share of a field's pixels that name its class."""
    least_pixels: int = 10
    most_doubt: float = 0.5
    """Entropy of a pixel's mean probability, as a share of log K."""
    least_cropland: float = 0.5
    """Share of a crop's pixels that a model of cropland must call cropland."""
    cap: int = 2_000_000
    """Pixels of one class."""

    def __post_init__(self) -> None:
        shares = (self.share, self.least_agreement, self.most_doubt, self.least_cropland)
        if not all(0 <= share <= 1 for share in shares):
            raise Misfit(f"{self}", "shares lie between 0 and 1.", "Correct them.")
        if self.most_raise < 1 or min(self.least_pixels, self.cap) < 0:
            raise Misfit(f"{self}", "most_raise starts at 1, counts at 0.", "Correct them.")


STAGE_A = PseudoLabelSettings()
STAGE_B = replace(STAGE_A, share=0.5)

RULES = ("small", "divided", "no_cropland", "unsure", "lower_rank", "over_cap")
"""Why a field is rejected: the first of these that holds."""
PIXEL_RULES = ("views_differ", "doubtful", "other_class")
"""Why a pixel of an accepted field is ignored all the same."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Accepted fields with their class, and by class of the field how many fell to which rule."""

    field_F: NDArray[np.uint32]
    crop_F: NDArray[np.uint8]
    share_K: Values
    accepted_K: Counts
    rejected: Mapping[str, Counts]
    predicted_K: Counts
    """Pixels of all fields by the class they name, accepted or not."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "share": self.share_K.tolist(),
            "accepted_fields": self.accepted_K.tolist(),
            "rejected_fields": {rule: counts.tolist() for rule, counts in self.rejected.items()},
            "predicted_pixels": self.predicted_K.tolist(),
        }


def select_fields(votes: FieldVotes, prior_K: Values, settings: PseudoLabelSettings) -> Selection:
    """`prior_K` is the share of each class by area, from statistics or `models.label_shift`."""
    crop, classes = votes.crop_F, votes.votes_FK.shape[1]
    predicted = votes.votes_FK.sum(axis=0)
    share_K = raised_shares(predicted, prior_K, settings)
    failing = np.stack(list(_failing(votes, share_K, settings).values()))
    rule = np.where(failing.any(axis=0), failing.argmax(axis=0), len(RULES))
    taken = rule == len(RULES)
    counts = {name: np.bincount(crop[rule == i], minlength=classes) for i, name in enumerate(RULES)}
    accepted = np.bincount(crop[taken], minlength=classes)
    return Selection(votes.field_F[taken], crop[taken].astype(np.uint8), share_K, accepted, counts, predicted)


def raised_shares(predicted_K: Counts, prior_K: Values, settings: PseudoLabelSettings) -> Values:
    """More of a class that is found less often than its prior says, up to `most_raise` times; never less of another."""
    prior = np.asarray(prior_K, np.float64)
    if prior.shape != predicted_K.shape or not np.isfinite(prior).all() or (prior < 0).any() or not prior.sum() > 0:
        raise Misfit(f"prior {prior}", f"{len(predicted_K)} shares >= 0 are needed.", "Give one a class.")
    found = predicted_K / max(predicted_K.sum(), 1)
    wanting = np.divide(prior / prior.sum(), found, out=np.ones_like(prior), where=found > 0)
    raised = settings.share * np.clip(wanting, 1.0, settings.most_raise)
    return np.asarray(np.minimum(raised, 1.0))


def _failing(votes: FieldVotes, share_K: Values, settings: PseudoLabelSettings) -> dict[str, NDArray[np.bool_]]:
    pixels, crop = votes.pixels_F, votes.crop_F
    before = _pixels_before(votes)
    quota_K = share_K * np.bincount(crop, pixels, minlength=len(share_K))
    return {
        "small": pixels < settings.least_pixels,
        "divided": votes.agreement_F < settings.least_agreement,
        "no_cropland": (crop != BACKGROUND) & (votes.cropland_F < settings.least_cropland * pixels),
        "unsure": votes.sure_F == 0,
        "lower_rank": before >= quota_K[crop],
        "over_cap": before + pixels > settings.cap,
    }


def _pixels_before(votes: FieldVotes) -> Counts:
    """Pixels of the fields of the same class that are more confident; of two alike the lower number goes first."""
    pixels, crop = votes.pixels_F, votes.crop_F
    order = np.lexsort((votes.field_F, -votes.confidence_F, crop))
    running = np.cumsum(pixels[order]) - pixels[order]
    starts = np.searchsorted(crop[order], crop[order], side="left")
    before = np.empty_like(pixels)
    before[order] = running - running[starts]
    return before


@dataclass(frozen=True, eq=False)
class Painted:
    """One tile's labels (255 is ignore), the weight of each in a loss, and how many pixels of each class came about."""

    label_YX: NDArray[np.uint8]
    weight_YX: NDArray[np.float32]
    pixels_K: Counts
    ignored: Mapping[str, Counts]


def paint(
    found: Consensus, field_YX: NDArray[np.uint32], selection: Selection, settings: PseudoLabelSettings
) -> Painted:
    """Pixels of accepted fields that surely name the field's class; they weigh as much as they are confident."""
    classes = len(found.mean_KYX)
    wanted = _class_of_field(field_YX, selection)
    inside = (wanted != IGNORE) & found.known_YX
    failing = {
        "views_differ": ~found.agree_YX,
        "doubtful": ~(found.doubt_YX < settings.most_doubt),
        "other_class": found.crop_YX != wanted,
    }
    taken = inside & is_sure(found, settings.most_doubt) & ~failing["other_class"]
    left, ignored = inside.copy(), {}
    for rule, fails in failing.items():
        ignored[rule] = np.bincount(wanted[left & fails], minlength=classes)
        left &= ~fails
    label = np.where(taken, wanted, IGNORE).astype(np.uint8)
    weight = np.where(taken, found.confidence_YX, 0).astype(np.float32)
    return Painted(label, weight, np.bincount(label[taken], minlength=classes), ignored)


def _class_of_field(field_YX: NDArray[np.uint32], selection: Selection) -> NDArray[np.uint8]:
    """Of each pixel the class of its field, if that was accepted."""
    if not len(selection.field_F):
        return np.full(field_YX.shape, NO_CLASS, np.uint8)
    place = np.minimum(np.searchsorted(selection.field_F, field_YX), len(selection.field_F) - 1)
    accepted = (selection.field_F[place] == field_YX) & (field_YX != NO_FIELD)
    return np.where(accepted, selection.crop_F[place], NO_CLASS).astype(np.uint8)
