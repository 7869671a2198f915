"""Check addresses of servers in settings. They are printed in errors and reports, so they must not
contain credentials, and an address that is refused is not printed.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import Attribute

Check = Callable[[object, "Attribute[str]", str], None]


def server_url(*schemes: str, credentials: str, query: bool = False) -> Check:
    """A validator for the URL of a server; an empty URL passes.

    Args:
        schemes: the allowed schemes.
        credentials: where to set credentials, for the error.
        query: whether a query is allowed.

    Raises:
        ValueError: from the validator; it does not contain the URL.
    """

    def check(_settings: object, field: Attribute[str], url: str) -> None:
        if not url:
            return
        if "@" in url:
            raise ValueError(
                f"{field.name}: must not contain a user name or password; set {credentials}"
            )
        if not _is_url(url, schemes) or (not query and ("?" in url or "#" in url)):
            *others, last = (f"{scheme}://" for scheme in schemes)
            allowed = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"{field.name}: expected {allowed}host:port")

    return check


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, judged by its name or address alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_name(_settings: object, field: Attribute[str], host: str) -> None:
    """A validator for a host without scheme, port and credentials; an empty one passes.

    Raises:
        ValueError: it does not contain the host.
    """
    is_address = host.count(":") > 1
    if set(host) & set("@/?#\\ \t\n") or (":" in host and not is_address):
        raise ValueError(
            f"{field.name}: expected the name or IP address of a host, without scheme, port, user "
            "name and password"
        )
