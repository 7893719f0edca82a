import asyncio
import threading

from fieldline_edge.drivers.mqtt.inbox import Inbox, Message


def message(number: int) -> Message:
    return Message("t", b"", number, False)


def test_a_full_inbox_drops_the_oldest_and_counts_it() -> None:
    inbox = Inbox(3)
    for number in range(5):
        inbox.put(message(number))
    assert [m.arrived_ns for m in inbox.take(10)] == [2, 3, 4]
    assert inbox.dropped == 2


def test_take_is_bounded_and_in_order() -> None:
    inbox = Inbox(10)
    for number in range(5):
        inbox.put(message(number))
    assert [m.arrived_ns for m in inbox.take(2)] == [0, 1]
    assert [m.arrived_ns for m in inbox.take(2)] == [2, 3]


def test_a_loss_is_told_even_if_the_link_is_back_before_anyone_looks() -> None:
    inbox = Inbox(1)
    inbox.connected()
    inbox.take_news()
    inbox.lost("gone")
    inbox.connected()
    news = inbox.take_news()
    assert (news.is_up, news.lost, news.why, news.connects) == (True, True, "gone", 1)
    assert not inbox.take_news().lost


async def test_nothing_put_by_another_thread_is_slept_through() -> None:
    inbox = Inbox(100_000)
    inbox.open(asyncio.get_running_loop())

    def fill() -> None:
        for number in range(20_000):
            inbox.put(message(number))

    thread = threading.Thread(target=fill)
    thread.start()
    taken = 0
    async with asyncio.timeout(10):
        while taken < 20_000:
            await inbox.wait()
            while found := inbox.take(500):
                taken += len(found)
    thread.join()
    assert taken == 20_000


def test_a_full_inbox_makes_the_client_wait_for_messages_the_broker_would_repeat() -> None:
    inbox = Inbox(2)
    for number in range(2):
        assert inbox.put(Message("t", b"", number, False, qos=1))
    waiting = threading.Thread(target=inbox.put, args=(Message("t", b"", 2, False, qos=1),))
    waiting.start()
    taken = inbox.take(1)
    waiting.join(5)
    assert not waiting.is_alive()
    assert [m.arrived_ns for m in taken + inbox.take(10)] == [0, 1, 2]
    assert inbox.dropped == 0


def test_messages_that_are_held_count_until_they_are_released() -> None:
    inbox = Inbox(10, held_max=1)
    inbox.put(Message("t", b"", 0, False, qos=1))
    inbox.take(1)
    waiting = threading.Thread(target=inbox.put, args=(Message("t", b"", 1, False, qos=1),))
    waiting.start()
    assert inbox.take(1) == []
    inbox.release(1)
    waiting.join(5)
    assert not waiting.is_alive()
    assert [m.arrived_ns for m in inbox.take(1)] == [1]


def test_qos_0_never_pushes_out_what_the_broker_thinks_we_have() -> None:
    inbox = Inbox(2)
    inbox.put(Message("t", b"", 0, False, qos=1))
    inbox.put(Message("t", b"", 1, False))
    inbox.put(Message("t", b"", 2, False))
    inbox.put(Message("t", b"", 3, False))
    assert [m.arrived_ns for m in inbox.take(10)] == [0, 3]
    assert inbox.dropped == 2


def test_a_closed_inbox_leaves_held_messages_with_the_broker() -> None:
    inbox = Inbox(10, held_max=10)
    inbox.close()
    assert not inbox.put(Message("t", b"", 0, False, qos=1))
    assert inbox.put(Message("t", b"", 1, False))
