"""Only addresses are called that name one machine, however they came in."""

import pytest
from aioice import Candidate, Connection

from livehead.webrtc.remote_candidates import MAX_CANDIDATES, patch_remote_candidates


async def taken(*places: tuple[str, int]) -> list[tuple[str, int]]:
    """Which of the addresses and ports a connection takes."""
    connection = Connection(ice_controlling=False)
    patch_remote_candidates(connection)
    for host, port in places:
        await connection.add_remote_candidate(Candidate("1", 1, "udp", 1, host, port, "host"))
    await connection.add_remote_candidate(None)
    found = [(each.host, each.port) for each in connection.remote_candidates]
    assert connection._remote_candidates_end == bool(found), "nobody to call: the other side may call us"
    await connection.close()
    return found


async def test_addresses_of_one_machine_are_called() -> None:
    places = [("192.0.2.1", 5000), ("192.0.2.1", 65535), ("127.0.0.1", 1), ("2001:db8::1", 5000), ("::1", 5000)]
    assert await taken(*places) == places


@pytest.mark.parametrize(
    "host",
    ["0a0b.local", "0A0B.LOCAL", "localhost", "example.org", "", "224.0.0.251", "ff02::fb", "0.0.0.0", "::"]
    + ["255.255.255.255", "fe80::1%eth0", "127.1", "0x7f.1", "192.0.2.1 ", "192.0.2.1\t", "192.0.2.1\0"],
)
async def test_names_and_addresses_of_many_are_not(host: str) -> None:
    assert await taken((host, 5000)) == []


@pytest.mark.parametrize("port", [0, -1, 65536, 10**40])
async def test_ports_that_there_cannot_be_are_left_out(port: int) -> None:
    assert await taken(("192.0.2.1", port), ("192.0.2.1", 5000)) == [("192.0.2.1", 5000)]


async def test_only_so_many_addresses_are_called_and_each_counts_once() -> None:
    many = [("192.0.2.1", 5000 + number) for number in range(100)]
    assert await taken(*many[:20], *many) == many[:MAX_CANDIDATES]
