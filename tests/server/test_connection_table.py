"""Which connection gives way to a new one."""

from dataclasses import dataclass

import pytest

from livehead.server.connection_table import ConnectionLimits, ConnectionTable, network_of


@dataclass(eq=False)
class Caller:
    """A connection that is told to end."""

    network: str
    is_busy: bool = False
    ended: bool = False

    def abort(self) -> None:
        self.ended = True


def table_with(callers: list[Caller], limits: ConnectionLimits) -> ConnectionTable:
    table = ConnectionTable(limits)
    for caller in callers:
        assert table.admit(caller)
    return table


def test_the_oldest_of_the_address_with_the_most_gives_way() -> None:
    alone, crowd = Caller("a"), [Caller("b") for _ in range(14)]
    table = table_with([alone, *crowd], ConnectionLimits(connections=20, strangers=13, strangers_of_address=None))
    assert not alone.ended
    assert [each.ended for each in crowd] == [True] * 2 + [False] * 12
    assert len(table) == table.stranger_count == 13
    assert table.dropped_count == 2


def test_one_whose_request_is_answered_stays_where_another_only_waits() -> None:
    busy, idle = Caller("a", is_busy=True), Caller("a")
    table = table_with([busy, idle], ConnectionLimits(connections=10, strangers=2))
    assert table.admit(Caller("a"))
    assert idle.ended
    assert not busy.ended


def test_whoever_showed_a_right_key_gives_way_to_nobody() -> None:
    performer = Caller("a")
    table = table_with([performer], ConnectionLimits(connections=6, strangers=3))
    table.trust(performer)
    strangers = [Caller("a") for _ in range(100)]
    for each in strangers:
        assert table.admit(each)
    assert not performer.ended
    assert sum(not each.ended for each in strangers) == 3
    table.distrust(performer)
    table.admit(Caller("b"))
    assert sum(not each.ended for each in [performer, *strangers]) == 2


def test_where_all_showed_a_key_a_further_one_is_not_taken() -> None:
    limits = ConnectionLimits(connections=2, strangers=2)
    known = [Caller("a"), Caller("b")]
    table = table_with(known, limits)
    for each in known:
        table.trust(each)
    assert not table.admit(Caller("c"))
    table.remove(known[0])
    assert table.admit(Caller("c"))


def test_a_browser_is_not_pushed_out_by_one_who_has_many_networks() -> None:
    crowd = [Caller(f"192.0.2.{number}") for number in range(30)]
    table = table_with(crowd, ConnectionLimits(connections=100, strangers=30))
    browser = [Caller("198.51.100.1") for _ in range(6)]
    newcomers = [Caller(f"203.0.113.{number}") for number in range(20)]
    for each in [*browser, *newcomers]:
        table.admit(each)
    assert not any(each.ended for each in browser)
    assert all(each.ended for each in crowd[:26])


def test_viewers_of_a_link_leave_room_for_whoever_has_the_token() -> None:
    viewers = [Caller("a") for _ in range(100)]
    table = ConnectionTable(ConnectionLimits(connections=10, strangers=4, viewers=4))
    for each in viewers:
        assert table.admit(each)
        table.trust(each, viewer=True)
    assert [each.ended for each in viewers[:4]] == [False] * 4, "those who watch go on"
    performer = Caller("a")
    assert table.admit(performer)
    assert table.trust(performer)
    table.remove(viewers[0])
    late = Caller("a")
    table.admit(late)
    assert table.trust(late, viewer=True)


def test_one_address_has_fewer_than_all_together_unless_a_proxy_or_this_machine_has_it() -> None:
    limits = ConnectionLimits(connections=100, strangers=50, strangers_of_address=5)
    for network, allowed in (("192.0.2.1", 5), (network_of("127.0.0.1"), 50)):
        callers = [Caller(network) for _ in range(60)]
        assert table_with(callers, limits).stranger_count == allowed
    behind_proxy = ConnectionLimits.for_files(1024, behind_proxy=True)
    assert table_with([Caller("192.0.2.1") for _ in range(300)], behind_proxy).stranger_count == behind_proxy.strangers


@pytest.mark.parametrize("files", [16, 256, 1024, 65_536])
def test_half_of_the_files_are_left_to_calls(files: int) -> None:
    limits = ConnectionLimits.for_files(files)
    assert limits.connections <= files // 2
    assert 0 < limits.strangers <= min(limits.connections, 250)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1", "127.9.9.9", True),
        ("127.0.0.1", "::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "192.0.2.1", False),
    ],
)
def test_who_counts_as_one_client(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same
