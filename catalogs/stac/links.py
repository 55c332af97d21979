"""Which links of a catalogue may be followed: a link is somebody else's input, and GDAL would open anything."""

import re
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from catalogs.errors import BadInput
from catalogs.stac.providers import Provider

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_href(provider: Provider, href: str, hosts: tuple[str, ...] = ()) -> str:
    """An https link to one of the provider's hosts or of `hosts`, or an s3 link to one of its buckets."""
    link = _split(href)
    if link is None or not _is_allowed(link, provider, hosts):
        places = ", ".join((*provider.hosts, *(f"s3://{bucket}" for bucket in provider.buckets), *hosts)) or "none"
        raise BadInput(
            f"asset link {href[:120]!r}",
            f"does not point to {provider.name}'s own storage ({places}).",
            "The catalogue's answer is not to be trusted, and nothing was read from it. "
            "If this is a mirror that you know, add its host to [imagery] hosts.",
        )
    return href


def is_remote(href: str) -> bool:
    return "://" in href


def local_path(href: str, folder: Path) -> Path:
    """A file below the catalogue's folder; links and dots are followed before it is judged."""
    top = folder.resolve()
    path = (top / href).resolve()
    if is_remote(href) or href.startswith("/vsi") or not path.is_relative_to(top):
        raise outside(f"link of the catalogue in {folder}", href)
    return path


def outside(given: str, href: str) -> BadInput:
    return BadInput(
        given,
        f"points out of the catalogue's folder ({href[:120]!r}).",
        "A local catalogue may only hold links to files below it, or to hosts that [imagery] hosts names.",
    )


def _split(href: str) -> SplitResult | None:
    """The parts of a link without tricks: other forms mean one thing here and another to curl or GDAL."""
    plain = unquote(unquote(href)).lower()
    if re.search(r"[\s\\\x00-\x1f\x7f]", plain) or "/vsi" in plain or ".." in plain.split("?")[0].split("/"):
        return None
    try:
        link = urlsplit(href)
        _ = link.port
    except ValueError:
        return None
    return None if "@" in link.netloc or not link.hostname or link.fragment else link


def _is_allowed(link: SplitResult, provider: Provider, hosts: tuple[str, ...]) -> bool:
    host = str(link.hostname)
    if link.scheme == "s3":
        return len(link.path) > 1 and (host in provider.buckets or any(_holds(name, host) for name in hosts))
    if _is_link_local(host) or link.scheme not in ("https", "http"):
        return False
    if link.scheme == "http" and host not in LOOPBACK:
        return False
    return host in hosts or (host in provider.hosts and link.port in (None, 443))


def _holds(host: str, bucket: str) -> bool:
    """Whether a host is a bucket's own, as in `bucket.s3.eu-central-1.amazonaws.com`."""
    return host == bucket or host.startswith(f"{bucket}.s3.") or host.startswith(f"{bucket}.s3-")


def _is_link_local(host: str) -> bool:
    """Where clouds hand out a machine's credentials; no list of hosts can mean that."""
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False
