"""Which hosts are this machine (the only ones that may be reached without encryption), and paths with ids in them."""

from __future__ import annotations

import ipaddress
from urllib.parse import quote

from tap_aircall.errors import ResponseError


def is_loopback(host: str) -> bool:
    """Say whether a host, as it stands in a URL without brackets and port, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        message = f"Aircall sent an id for {template.format('...')} that is not one."
        raise ResponseError(message)
    return template.format(segment)
