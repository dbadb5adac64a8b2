"""The lag of a consumer group: when it counts as keeping up."""

from __future__ import annotations

from aiokafka import TopicPartition

from data.kit.group_lag import GroupLag, has_handled

ONE, TWO = TopicPartition("quotes", 0), TopicPartition("quotes", 1)


def test_all_messages_before_the_ends_must_be_committed() -> None:
    ends = {ONE: 5, TWO: 0}
    assert has_handled(ends, {ONE: 5}, {TWO: 0})
    assert has_handled(ends, {ONE: 7, TWO: 1}, {})
    assert not has_handled(ends, {ONE: 4, TWO: 0}, {})
    assert not has_handled(ends, {TWO: 0}, {ONE: 0})


def test_messages_deleted_before_the_first_commit_count_as_handled() -> None:
    assert has_handled({ONE: 5}, {}, {ONE: 5})
    assert not has_handled({ONE: 5}, {ONE: -1}, {ONE: 3})


async def test_an_unavailable_broker_is_no_error() -> None:
    lag = GroupLag("127.0.0.1:1", "shop", ["quotes"], timeout_s=0.5)
    assert await lag.keeps_up() is False
    assert await lag.keeps_up() is False
    await lag.close()
