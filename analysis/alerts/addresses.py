"""Which addresses a webhook may reach: public ones, and those the operator has named; pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = ip_network("64:ff9b::/96")
_IPV4_COMPATIBLE = ip_network("::/96")
_SIX_TO_FOUR = ip_network("2002::/16")
#: What ipaddress calls global, or forgets, and what leads back inside all the same.
_NEVER = tuple(
    ip_network(text)
    for text in (
        "64:ff9b:1::/48",  # local NAT64
        "2001::/32",  # Teredo
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "100.64.0.0/10",  # carriers' NAT
    )
)


class BadNetwork(ValueError):
    """An entry of the allow-list is no network; the message names it."""


def networks(entries: Sequence[str]) -> tuple[Network, ...]:
    """Return the allow-list as networks; raises BadNetwork."""
    found = []
    for entry in entries:
        try:
            found.append(ip_network(entry))
        except ValueError as error:
            raise BadNetwork(f"webhook_allow_networks: '{entry}' is no network: {error}") from error
    return tuple(found)


def parse(text: str) -> Address:
    """Return an address as a resolver writes it, without the scope id of a link-local one."""
    return ip_address(text.partition("%")[0])


def allowed(address: Address, allow: Sequence[Network]) -> bool:
    """Return whether the operator has named a network that holds ``address``.

    Link-local addresses are refused even then: cloud machines keep their credentials there.
    """
    address = unwrapped(address)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return any(address.version == one.version and address in one for one in allow)


def public(address: Address) -> bool:
    """Return whether ``address`` is out on the internet.

    >>> [public(ip_address(a)) for a in ("93.184.215.14", "10.0.0.1", "64:ff9b::7f00:1")]
    [True, False, False]
    """
    address = unwrapped(address)
    bad = (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or any(address.version == one.version and address in one for one in _NEVER)
    )
    return address.is_global and not bad


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries; else the address itself.

    >>> unwrapped(ip_address("2002:7f00:1::"))
    IPv4Address('127.0.0.1')
    """
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _SIX_TO_FOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    # ::1 is loopback itself, not a carrier of 0.0.0.1
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
