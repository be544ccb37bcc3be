"""Which hosts are this machine (the only ones that may be reached without encryption), and paths with ids in them."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from tap_aircall.errors import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Allowed: TypeAlias = Callable[[str, str], bool]
    """Says of a host and one of its IP addresses whether it may be connected to."""


def is_loopback(host: str) -> bool:
    """Say whether a host, as it stands in a URL without brackets and port, is this machine."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Say whether a host, as it stands in a URL without brackets, is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the internet at large: of no private network, no link, no group.

    Args:
        address: As `socket.getaddrinfo` and `getpeername` give it.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_global and not ip.is_multicast


def look_up(host: str, port: int) -> list[str]:
    """Look up the IP addresses of a host; none if that fails, which the connection then says itself."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


def check_addresses(host: str, addresses: Iterable[str], allowed: Allowed) -> None:
    """Refuse a host one of whose IP addresses is not allowed.

    Raises:
        ResponseError: If there is such an address.
    """
    if not all(allowed(host, address) for address in addresses):
        raise ResponseError(
            "Aircall gave an address for the file that leads into a private network, where the tap does not go."
        )


def path_of(template: str, identity: object) -> str:
    """Put an id that Aircall gave into a path.

    Args:
        template: The path, with `{}` for the id.
        identity: The id; an integer as a rule, but nothing keeps a server from sending `../company`.

    Raises:
        ResponseError: If the path would lead elsewhere.
    """
    segment = str(identity)
    if quote(segment, safe="") != segment or not segment.strip("."):
        raise ResponseError(f"Aircall sent an id for {template.format('...')} that is not one.")
    return template.format(segment)
