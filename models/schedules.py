"""How the learning rate goes over a training: functions of the step alone, so that a resumed run takes the same."""

import math

from models.errors import Misfit

DROPS = (0.3, 0.6)
"""Shares of all steps at which `multistep` falls, and to what part (DepthSeg, arXiv 2506.14382)."""
DROP_TO = 0.2


def rate(step: int, steps: int, warm_up: float, schedule: str) -> float:
    """What part of the highest rate step 0, 1, .. of `steps` has: a rise over the share `warm_up`, then a course."""
    if schedule not in SCHEDULES:
        raise Misfit(f"schedule {schedule!r}", "there is no such course.", f"Write one of {', '.join(SCHEDULES)}.")
    rise = max(warm_up * steps, 1)
    return min((step + 1) / rise, 1) if step < rise else SCHEDULES[schedule](step, steps, rise)


def cosine(step: int, steps: int, rise: float) -> float:
    """Half a wave to zero."""
    return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1)))


def multistep(step: int, steps: int, rise: float) -> float:
    return float(DROP_TO ** sum(step >= share * steps for share in DROPS))


def constant(step: int, steps: int, rise: float) -> float:
    return 1.0


SCHEDULES = {"cosine": cosine, "multistep": multistep, "constant": constant}
