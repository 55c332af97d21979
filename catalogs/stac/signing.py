"""Tokens that let storage be read for an hour or less: had from a service, kept in the process, renewed in time."""

import os
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import requests

from catalogs.errors import BadInput
from catalogs.patience import Patience
from catalogs.stac.providers import THROTTLED
from catalogs.stac.retries import again, mount

SUBSCRIPTION_KEY = "PC_SDK_SUBSCRIPTION_KEY"
"""The Planetary Computer's own variable; with a key it lets more requests pass."""

MARGIN = timedelta(seconds=120)
"""A token that ends sooner is renewed: a read of a few blocks, with its own retries, must end before it does."""

TOKEN = re.compile(r"[\w%&=.~+/:-]{1,4000}")


@dataclass(frozen=True)
class Token:
    """What is written behind a link's question mark."""

    text: str
    expiry: datetime

    @property
    def is_fresh(self) -> bool:
        return self.expiry - datetime.now(UTC) > MARGIN


class Tokens:
    """The tokens of this process, one for each storage account and container of each service."""

    def __init__(self) -> None:
        self._held: dict[str, Token] = {}
        self._one_asks = threading.Lock()

    def sign(self, href: str, service: str, patience: Patience | None = None) -> str:
        """The link with a token that is good for a while yet."""
        plain = href.split("?")[0]
        link = urlsplit(plain)
        account, container = str(link.hostname).split(".")[0], link.path.strip("/").split("/")[0]
        address = f"{service.rstrip('/')}/{account}/{container}"
        with self._one_asks:
            token = self._held.get(address)
            if token is None or not token.is_fresh:
                token = self._held[address] = _ask(address, patience or Patience())
        return f"{plain}?{token.text}"

    def forget(self, service: str) -> None:
        """The service's tokens are had anew: storage has refused one before its time."""
        with self._one_asks:
            for address in [address for address in self._held if address.startswith(service.rstrip("/") + "/")]:
                del self._held[address]


def _ask(address: str, patience: Patience) -> Token:
    key = os.environ.get(SUBSCRIPTION_KEY)
    with requests.Session() as session:
        mount(session, address, patience.retry(THROTTLED))
        headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
        try:
            return again(lambda: _answer(session.get(address, headers=headers, timeout=patience.timeout)), patience)
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            # a failure of the network, not of the scene: who reads tries again
            raise ConnectionError(f"token service {address}: no connection ({type(error).__name__})") from error


def _answer(response: requests.Response) -> Token:
    if response.status_code in (401, 403):
        raise BadInput(
            f"token service {response.url}",
            f"does not let us in (HTTP {response.status_code}).",
            f"Check the environment variable {SUBSCRIPTION_KEY}, or remove it: most work without.",
        )
    if not response.ok:
        raise ConnectionError(f"token service {response.url}: HTTP response code: {response.status_code}")
    content = response.json()
    if not TOKEN.fullmatch(str(content["token"])):
        raise ValueError("its answer holds no token")
    expiry = datetime.fromisoformat(str(content["msft:expiry"]))
    return Token(str(content["token"]), expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC))


TOKENS = Tokens()
