"""How long a server is borne with: tries, pauses that grow and are uneven, and silences."""

import random
from dataclasses import dataclass

from urllib3 import Retry


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with."""

    tries: int = 5
    pause: float = 1.0
    """Seconds, doubled with each try, half of it at random: many workers must not come back at once."""
    longest: float = 120.0
    """Seconds that a server may ask us to wait (Retry-After)."""
    connect: float = 15.0
    """Seconds until a server must have taken our call, and"""
    answer: float = 60.0
    """seconds for each silence of its answer."""

    @property
    def timeout(self) -> tuple[float, float]:
        return self.connect, self.answer

    def retry(self, statuses: tuple[int, ...]) -> "Pauses":
        return Pauses(
            total=self.tries - 1,
            allowed_methods=None,  # a search is a POST, and changes nothing
            status_forcelist=statuses,
            backoff_factor=self.pause,
            backoff_max=self.longest,
            raise_on_status=False,  # the last answer says more than the number of tries
            retry_after_max=int(self.longest),
        )


class Pauses(Retry):
    """urllib3's retries, with a pause before the first one too and half of each at random."""

    def get_backoff_time(self) -> float:
        longest = self.backoff_factor * 2 ** (len(self.history) - 1)
        return float(min(longest, self.backoff_max) * random.uniform(0.5, 1))
