from __future__ import annotations

import pytest

from analysis.alerts.addresses import BadNetwork, allowed, networks, parse, public

INSIDE = networks(("10.0.0.0/8", "127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10"))


@pytest.mark.parametrize(
    "text",
    [
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "192.168.1.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::5db8:d70e",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fc00::1",
        "fe80::1%eth0",
        "ff02::1",
    ],
)
def test_an_address_that_leads_inside_is_not_public(text: str) -> None:
    assert not public(parse(text))


@pytest.mark.parametrize(
    "text", ["93.184.215.14", "2606:4700::6810:84e5", "64:ff9b::5db8:d70e", "2002:5db8:d70e::1"]
)
def test_an_address_on_the_internet_is_public(text: str) -> None:
    assert public(parse(text))


@pytest.mark.parametrize("text", ["10.1.2.3", "127.0.0.1", "::1", "::ffff:10.1.2.3"])
def test_the_operator_can_name_a_private_network(text: str) -> None:
    assert allowed(parse(text), INSIDE)
    assert not allowed(parse(text), ())


@pytest.mark.parametrize("text", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254"])
def test_a_link_local_address_is_refused_even_when_named(text: str) -> None:
    assert not allowed(parse(text), INSIDE)


def test_a_network_of_the_other_ip_version_does_not_allow() -> None:
    assert not allowed(parse("::1"), networks(("0.0.0.0/0",)))


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "localhost", ""])
def test_an_entry_that_is_no_network_is_named(entry: str) -> None:
    with pytest.raises(BadNetwork, match="webhook_allow_networks"):
        networks((entry,))
