"""What is said of a catalogue that does not answer: what it did, and what to do about it."""

from collections.abc import Sequence

from pystac_client.exceptions import APIError

from catalogs.errors import BadInput
from catalogs.patience import Patience
from catalogs.stac.providers import Provider
from catalogs.stac.retries import LedAway
from catalogs.stac.signing import SUBSCRIPTION_KEY

CATALOG_TOKEN = "FURROW_CATALOG_TOKEN"
"""For a catalogue that lets in only those who bear a token; never sent to a provider's own address."""

LATER = "Give the same command again later; or ask for less: a shorter season or a smaller region."
NETWORK = 'Check the network and [imagery] catalog, or read from files: provider = "local".'
ADDRESS = "Check [imagery] catalog: it is the address of the API's landing page, or the path of a catalogue in files."


def explain(error: BaseException, provider: Provider, address: str, patience: Patience) -> BadInput:
    cause = _cause(error)
    if isinstance(cause, BadInput):
        return cause
    if isinstance(cause, LedAway):
        return _led_away(address, cause)
    status = getattr(error, "status_code", None)
    if status in provider.throttled:
        why = f"is too busy or lets us ask no more for now (HTTP {status}, {patience.tries} times)."
        if status == 403 and address != provider.url:  # a mirror's may mean what it says
            return BadInput(f"catalogue {address}", why, f"{LATER} If it asks for a token, set {CATALOG_TOKEN}.")
        return BadInput(f"catalogue {address}", why, LATER)
    if status in (401, 403):
        return _shut(provider, address, status)
    if isinstance(cause, OSError):  # as are all errors of requests
        why = f"cannot be reached ({_short(cause)})."
        return BadInput(f"catalogue {address}", why, NETWORK)
    answer = f"HTTP {status}: {_short(error)}" if status else _short(error)
    return BadInput(f"catalogue {address}", f"did not answer as a STAC API does ({answer}).", ADDRESS)


def no_such_collection(address: str, collection: str, known: Sequence[str]) -> BadInput:
    likely = [name for name in known if "sentinel" in name.lower()] or list(known)
    has = f"It has {', '.join(likely[:10])}." if likely else "It has none at all."
    return BadInput(
        f"collection {collection!r}", f"is not in the catalogue {address}.", f"{has} Check [imagery] collection."
    )


def _cause(error: BaseException) -> BaseException | None:
    """pystac-client hides what went wrong behind an error of its own."""
    return error.__context__ if isinstance(error, APIError) and error.__context__ else error


def _led_away(address: str, error: LedAway) -> BadInput:
    return BadInput(
        f"catalogue {address}",
        f"leads to another server ({str(error)[:120]!r}), and that is not followed.",
        "If it has moved, write its new address in [imagery] catalog.",
    )


def _shut(provider: Provider, address: str, status: int) -> BadInput:
    variable = f"{CATALOG_TOKEN} (a bearer token)"
    if address == provider.url and provider.credentials == "sas":
        variable = SUBSCRIPTION_KEY
    why = f"does not let us in (HTTP {status})."
    return BadInput(
        f"catalogue {address}", why, f"Set the environment variable {variable}, and check that it is valid."
    )


def _short(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
