"""The one error of the models: a network, checkpoint or array was given that does not fit."""


class Misfit(Exception):
    """Says what was given, why it does not fit and what to do instead."""

    def __init__(self, given: str, why: str, remedy: str) -> None:
        super().__init__(f"{given}: {why} {remedy}")
        self.given = given
        self.why = why
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["Misfit"], tuple[str, str, str]]:
        """Travel whole between processes (an exception's default is to keep only its message)."""
        return type(self), (self.given, self.why, self.remedy)
