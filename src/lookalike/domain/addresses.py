"""Which internet addresses a server may be sent to: none that is private, local or reserved.

Sources: the IANA special-purpose address registries (RFC 6890), RFC 6052 and 8215 (NAT64),
RFC 3056 (6to4), RFC 4291 (IPv4-mapped and -compatible).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# What the ipaddress module's `is_global` lets through, or does in some Python versions.
_REFUSED: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # a cloud's metadata and DNS, on a public address
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "fec0::/10",
        "fd00:ec2::/32",
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NUMBER: Final = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)")


@dataclass(frozen=True, slots=True)
class AllowList:
    """Hosts and networks that may be fetched from although they are private.

    A host name is matched exactly, or with its sub-domains when it begins with a dot.
    """

    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> AllowList:
        """Read `10.0.0.0/8`, `127.0.0.1`, `images.intranet` and `.intranet`.

        Raises:
            UsageError: an entry is neither a network nor a host name.
        """
        networks: list[Network] = []
        hosts: list[str] = []
        for entry in (each.strip().lower() for each in entries):
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                if not re.fullmatch(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*", entry):
                    raise UsageError(
                        f"{entry!r} is neither a network nor a host name",
                        hint="write 10.0.0.0/8, 127.0.0.1, images.intranet or .intranet",
                    ) from None
                hosts.append(entry)
        return cls(tuple(networks), tuple(hosts))

    def has_host(self, host: str) -> bool:
        """Tell whether the host name is allowed whatever its addresses."""
        return any(
            host == entry or (entry.startswith(".") and host.endswith(entry))
            for entry in self.hosts
        )

    def has_address(self, address: Address) -> bool:
        """Tell whether the address is in an allowed network."""
        return any(address in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Tell whether an address, and any IPv4 address inside it, is one of the open internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _LOCAL_NAT64 or address.scope_id is not None:
            return False
        inner = tuple(embedded_addresses(address))
        if inner and not all(is_public(each) for each in inner):
            return False
        if not (address in _GLOBAL_UNICAST or address in _NAT64 or address.ipv4_mapped):
            return False
        if inner:
            return True
    if any(address in network for network in _REFUSED if network.version == address.version):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def embedded_addresses(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address would lead to (mapped, NAT64, 6to4)."""
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour is not None:
        yield address.sixtofour


def is_odd_number(host: str) -> bool:
    """Tell whether a host would be read as an IPv4 address although it is no dotted quad.

    `2130706433`, `0x7f.1`, `0177.0.0.1` and `127.1` all mean 127.0.0.1 to some resolvers.
    """
    labels = host.rstrip(".").split(".")
    if not _NUMBER.fullmatch(labels[-1]):
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return False
