import threading

from tests.consumer.messages import arrival
from tests.waiting import until
from tocsin_consumer.inbox import Inbox


def test_arrivals_come_out_in_order_and_no_more_than_asked_for() -> None:
    inbox = Inbox()
    arrivals = [arrival(b"%d" % number) for number in range(3)]
    assert all(inbox.put(one) for one in arrivals)
    assert inbox.take(2, timeout=0) == arrivals[:2]
    assert inbox.take(2, timeout=0) == arrivals[2:]
    assert inbox.take(2, timeout=0) == []


def test_an_inbox_takes_up_to_twice_its_limit_in_messages() -> None:
    inbox = Inbox(messages=2)
    assert [inbox.put(arrival(b"x")) for _ in range(5)] == [True, True, True, True, False]
    inbox.take(1, timeout=0)
    assert inbox.put(arrival(b"x"))


def test_an_inbox_takes_up_to_twice_its_limit_in_bytes() -> None:
    inbox = Inbox(size=5)
    assert [inbox.put(arrival(b"x" * 6)) for _ in range(3)] == [True, True, False]
    inbox.take(1, timeout=0)
    assert inbox.put(arrival(b"x"))


def test_below_its_limits_there_is_room_at_once() -> None:
    inbox = Inbox(messages=2)
    inbox.put(arrival(b"x"))
    inbox.wait_for_room(timeout=60)


def test_whoever_waits_for_room_is_woken_when_some_is_made() -> None:
    inbox = Inbox(messages=2)
    for _ in range(2):
        inbox.put(arrival(b"x"))
    waiter = threading.Thread(target=inbox.wait_for_room, args=(60,), daemon=True)
    waiter.start()
    until(lambda: waiting(inbox._emptied))
    inbox.take(1, timeout=0)
    waiter.join(5)
    assert not waiter.is_alive()


def test_whoever_waits_is_woken_by_an_arrival() -> None:
    inbox = Inbox()
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(len(inbox.take(5, timeout=60))), daemon=True)
    waiter.start()
    until(lambda: waiting(inbox._filled))
    inbox.put(arrival(b"x"))
    waiter.join(5)
    assert found == [1]


def waiting(condition: threading.Condition) -> bool:
    return bool(condition._waiters)  # type: ignore[attr-defined] # CPython's list of who waits
