"""What provider URLs are made of. Nothing of one is repeated in a refusal: any part of it may be a secret."""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from gateway.providers import WrongProviderUrl

SECRET = re.compile(r"[!-~]+")  # what an Authorization header can carry: visible ASCII


def split_url(url: str, example: str) -> SplitResult:
    """A provider URL's parts. Raises `WrongProviderUrl`."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        raise WrongProviderUrl(f"is malformed; an example: {example}") from None
    if parts.fragment:
        raise WrongProviderUrl(f"has a # in it, to be written %23; an example: {example}")
    return parts


def read_parameters(query: str, names: tuple[str, ...], example: str) -> dict[str, str]:
    """The parameters of a query, each of them known, filled in and given once. Raises `WrongProviderUrl`."""
    given = parse_qsl(query, keep_blank_values=True)
    read = dict(given)
    if len(read) < len(given) or not set(read) <= set(names) or not all(read.values()):
        raise WrongProviderUrl(f"may have {', '.join(names)} behind its ?, each once; an example: {example}")
    return read


def read_address(url: str, example: str) -> str:
    """An http(s) address to which paths are added. Raises `WrongProviderUrl`."""
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well = False
    if not well or "@" in parts.netloc or parts.query or parts.fragment:
        raise WrongProviderUrl(f"has an api that is no plain http(s) address; an example: {example}")
    return url.rstrip("/")
