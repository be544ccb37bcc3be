"""Checks of hosts and IP addresses, and of ids in paths."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from tap_aircall.errors import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Allowed: TypeAlias = Callable[[str, str], bool]
    """Returns whether the tap may connect to a host at one of its IP addresses."""


def is_loopback(host: str) -> bool:
    """Return whether a host, as in a URL without brackets, is this machine, which may be reached without TLS."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Return whether a host, as in a URL without brackets, is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet: not private, link-local or multicast."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_global and not ip.is_multicast


def look_up(host: str, port: int) -> list[str]:
    """Resolve a host to its IP addresses; return none on failure, which the connection will report."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def check_addresses(host: str, addresses: Iterable[str], allowed: Allowed) -> None:
    """Refuse a host if any of its IP addresses is not allowed.

    Raises:
        ResponseError: If one is not.
    """
    if not all(allowed(host, address) for address in addresses):
        raise ResponseError(
            "Aircall gave a URL for the file that leads into a private network, which the tap never connects to."
        )


def path_of(template: str, identity: object) -> str:
    """Insert an id from Aircall into a path.

    Args:
        template: The path, with `{}` for the id.
        identity: The id; usually an integer, but a server could send `../company`.

    Raises:
        ResponseError: If it would change the path.
    """
    segment = str(identity)
    if quote(segment, safe="") != segment or not segment.strip("."):
        raise ResponseError(f"Aircall sent an invalid id for {template.format('...')}.")
    return template.format(segment)
