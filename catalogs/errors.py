"""The one error of the catalogues: something was given that cannot be used."""


class BadInput(Exception):
    """Says what was given, why it is wrong and what to do instead; the command line exits with status 2."""

    def __init__(self, given: str, why: str, remedy: str) -> None:
        super().__init__(f"{given}: {why} {remedy}")
        self.given = given
        self.why = why
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, str, str]]:
        """Travel whole between processes (an exception's default is to keep only its message)."""
        return type(self), (self.given, self.why, self.remedy)
