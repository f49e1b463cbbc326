"""domain.addresses: which addresses may be fetched from."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.addresses import AllowList, is_odd_number, is_public
from lookalike.domain.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254",
        "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192",
        "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
        "2002:7f00:1::", "2002:a9fe:a9fe::", "2001::1", "2001:db8::1", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
    ],
)  # fmt: skip
def test_refused(text):
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
     "2002:808:808::1"],
)  # fmt: skip
def test_public(text):
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_in_every_dress(address):
    number = int(address)
    for dressed in (
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    ):
        assert is_public(dressed) == is_public(address)


@given(st.ip_addresses(v=4))
def test_nothing_the_standard_library_calls_private_is_public(address):
    if is_public(address):
        assert address.is_global
        assert not any((address.is_private, address.is_loopback, address.is_link_local))


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3.4.5", "x.0x10", "0x"],
)
def test_addresses_in_disguise(host):
    assert is_odd_number(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "8.8.8.8", "x.org", "1.example", "a1", "0xg.com"])
def test_plain_hosts(host):
    assert not is_odd_number(host)


def test_allow_lists():
    allow = AllowList.parse(["10.1.0.0/16", "127.0.0.1", "::1", "pics.intranet", ".lan"])
    assert allow.has_address(ipaddress.ip_address("10.1.2.3"))
    assert not allow.has_address(ipaddress.ip_address("10.2.0.1"))
    assert allow.has_host("pics.intranet")
    assert allow.has_host("nas.lan")
    assert not allow.has_host("lan")
    assert not allow.has_host("evil-pics.intranet")
    with pytest.raises(UsageError):
        AllowList.parse(["10.0.0.0/99"])
    with pytest.raises(UsageError):
        AllowList.parse([""])
