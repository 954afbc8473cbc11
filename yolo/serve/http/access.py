"""Access control: the hosts that a request may name, and the API key."""

import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from yolo.serve.http.refusal import RefusedError

# Allowed without the API key: they contain no data of images.
OPEN_ROUTES = ("/", "/health", "/ready", "/docs", "/openapi.json", "/v1/status/ping", "/v1/status/updateavailable")
STREAM = "/stream"  # whose key may be in the address, as an <img> cannot send a header
DEEPSTACK = "/v1/vision/"  # its clients send the key as a field of the form
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Access:
    """api_key: None without one. hosts: names that the header Host may have, in lower case; None for any."""

    api_key: str | None = None
    hosts: frozenset[str] | None = None


def is_loopback(host: str) -> bool:
    """Whether an address or name to listen at is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, further: Iterable[str]) -> frozenset[str] | None:
    """Return the names that the header Host may have; None for any.

    A foreign page can make its own name point to 127.0.0.1 (DNS rebinding), and the browser would give it the answers.
    So on loopback only the names of loopback are allowed.

    Args:
        host: where the service listens.
        further: more allowed names, such as that of a proxy.
    """
    names = [name.lower() for name in further]
    if not is_loopback(host):
        return frozenset(names) | frozenset(LOCAL_NAMES) if names else None
    shown = f"[{host}]" if ":" in host else host
    return frozenset((*names, *LOCAL_NAMES, shown))


def check_host(access: Access, host: str | None) -> None:
    """Raise RefusedError unless the header Host is allowed."""
    if access.hosts is None:
        return
    found = HOST.fullmatch(host or "")
    if not found or found[1].lower() not in access.hosts:
        raise RefusedError(421, "found a Host that is not one of this service; --allow-host NAME allows more")


def check_origin(headers: Mapping[str, str]) -> None:
    """Raise RefusedError for requests that a page of another site makes a browser send (Fetch Metadata, W3C)."""
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        raise RefusedError(403, "found a request of a page of another site")


def given_key(headers: Mapping[str, str]) -> str | None:
    """Return the API key in the headers of a request: X-API-Key, or Authorization: Bearer."""
    if key := headers.get("x-api-key"):
        return key
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def is_key(access: Access, given: str | None) -> bool:
    """Whether a key is that of the service, compared in constant time."""
    if access.api_key is None:
        return True
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), access.api_key.encode())


def check_key(access: Access, path: str, headers: Mapping[str, str], in_address: str | None) -> None:
    """Raise RefusedError unless a request has access to a path.

    Args:
        access: which clients are allowed.
        path: of the request.
        headers: of the request, by their names in lower case.
        in_address: the parameter `api_key` of the address.
    """
    if access.api_key is None or path in OPEN_ROUTES:
        return
    given = given_key(headers)
    if given is None and path == STREAM:
        given = in_address
    if given is None and path.startswith(DEEPSTACK):
        return  # the form is checked when it has arrived
    if not is_key(access, given):
        raise RefusedError(401, "found no API key or a wrong one, expected it as X-API-Key or Authorization: Bearer")
