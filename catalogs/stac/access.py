"""How the links of scenes become what GDAL can open, each time a file is opened: signed then, and checked then."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from catalogs.errors import BadInput
from catalogs.stac.links import check_href, is_remote, local_path
from catalogs.stac.providers import Provider, provider_of
from catalogs.stac.signing import TOKENS

IMAGES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""How TIFF, BigTIFF and JPEG 2000 begin. GDAL would follow a text of another format to any other file or address."""

BLOBS = ".blob.core.windows.net"
"""Hosts whose links are signed; those of a mirror are where it has a token service of its own."""

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

OTHER_CREDENTIALS = ("AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""That GDAL knows too; so are the files in ~/.aws."""


@dataclass(frozen=True)
class Access:
    """Small and plain, so that it travels to workers; secrets stay in the environment of each."""

    provider: str
    collection: str
    folder: Path | None
    """Where the relative links of a catalogue in files start."""
    hosts: tuple[str, ...] = ()
    """That links may point to beside the provider's own."""
    tokens: str | None = None
    """Another token service than the provider's, for a mirror."""

    @property
    def row(self) -> Provider:
        return provider_of(self.provider, self.collection)

    def location(self, href: str) -> str:
        """What GDAL opens; raises OSError where that is not there or is no picture, BadInput where it must not be."""
        if self.folder is not None and not is_remote(href):
            return str(_picture(local_path(href, self.folder)))
        check_href(self.row, href, self.hosts)
        link = urlsplit(href)
        if link.scheme == "s3":
            return f"/vsis3/{link.hostname}{link.path}"
        return f"/vsicurl/{self._signed(href)}"

    def options(self) -> dict[str, str]:
        """GDAL's settings for this provider's storage, without secrets: GDAL finds those in the environment itself."""
        row, given = self.row, os.environ
        if row.credentials == "s3" and self.folder is None:
            _check_keys(row)
        own = given.get("AWS_S3_ENDPOINT") or (None if row.endpoint else _root_endpoint())
        if own:
            return _at(own)
        if row.endpoint:
            return _at(f"https://{row.endpoint}") | {"AWS_REGION": given.get("AWS_REGION", "default")}
        if _has_keys() or "AWS_REQUEST_PAYER" in given or "AWS_NO_SIGN_REQUEST" in given:
            return {}
        return {"AWS_NO_SIGN_REQUEST": "YES"}

    def forget(self) -> None:
        """Storage has refused a link: sign the next ones anew."""
        if self._service:
            TOKENS.forget(self._service)

    @property
    def _service(self) -> str | None:
        return self.tokens or self.row.tokens

    def _signed(self, href: str) -> str:
        service, host = self._service, str(urlsplit(href).hostname)
        if not service or self.row.credentials != "sas":
            return href
        is_mirror = self.tokens is not None and host in self.hosts
        return TOKENS.sign(href, service) if host.endswith(BLOBS) or is_mirror else href


def without_secrets(text: str) -> str:
    """A message of GDAL's or curl's that may be shown: what stands behind a link's question mark is a key."""
    return re.sub(r"\?[^\s'\"<>]+", "?...", text)


def _picture(path: Path) -> Path:
    with path.open("rb") as file:
        if not file.read(12).startswith(IMAGES):
            raise OSError(f"{path.name} is neither a TIFF nor a JPEG 2000 file")
    return path


def _root_endpoint() -> str | None:
    """Where the other S3 libraries of this program are told of a service that is not Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _at(endpoint: str) -> dict[str, str]:
    """A service of one's own has its buckets in the path: it seldom has a name for each."""
    address = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    plain = address.scheme == "http" or (
        not address.scheme and os.environ.get("AWS_HTTPS", "").upper() in ("NO", "FALSE")
    )
    return {
        "AWS_S3_ENDPOINT": address.netloc,
        "AWS_VIRTUAL_HOSTING": os.environ.get("AWS_VIRTUAL_HOSTING", "FALSE"),
        "AWS_HTTPS": "NO" if plain else "YES",
    }


def _has_keys() -> bool:
    named = all(os.environ.get(key) for key in KEYS) or any(os.environ.get(name) for name in OTHER_CREDENTIALS)
    return named or (Path.home() / ".aws" / "credentials").exists()


def _check_keys(row: Provider) -> None:
    if _has_keys():
        return
    raise BadInput(
        f"imagery provider {row.name!r}",
        "lends its pixels only to those who have keys, and there are none in the environment.",
        f"Make S3 keys in your account there, and set {' and '.join(KEYS)}.",
    )
