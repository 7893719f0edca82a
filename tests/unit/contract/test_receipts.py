"""Every message of a frame gets its own outcome, once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldline.client.batch import Batch
from fieldline.client.receipts import Handled, Receipts
from fieldline.errors import Nacked, NoReceiver
from fieldline.v1 import hub_pb2


def batch_of(receipts: Receipts, *positions: int) -> Batch:
    batch = Batch("t", "", 0.0, 0, receipt=receipts.new_number())
    for position in positions:
        receipts.expect(batch, position, f"waiter {position}")
    return batch


def settled(receipts: Receipts, number: int, outcome: Any, **given: Any) -> dict[str, str]:
    receipt = hub_pb2.Receipt(receipt=number, outcome=outcome, **given)
    return {waiter: type(heard).__name__ for waiter, heard in receipts.settle(receipt)}


def test_a_handled_frame_tells_everybody_who_it_was() -> None:
    receipts = Receipts()
    batch_of(receipts, 0, 2)
    found = receipts.settle(hub_pb2.Receipt(receipt=1, outcome=hub_pb2.OUTCOME_HANDLED, by="worker"))
    assert found == [("waiter 0", Handled("worker")), ("waiter 2", Handled("worker"))]
    assert len(receipts) == 0


def test_a_refusal_of_some_messages_leaves_the_others_handled() -> None:
    receipts = Receipts()
    batch_of(receipts, 0, 1, 2)
    found = receipts.settle(
        hub_pb2.Receipt(receipt=1, outcome=hub_pb2.OUTCOME_REFUSED, by="worker", reason="no stock", messages=[1])
    )
    heard = dict(found)
    assert heard["waiter 0"] == heard["waiter 2"] == Handled("worker")
    nacked = heard["waiter 1"]
    assert isinstance(nacked, Nacked)
    assert (nacked.by, nacked.reason, str(nacked)) == (
        "worker",
        "no stock",
        "worker refused the message on 't': no stock",
    )


def test_a_refusal_without_positions_is_about_all() -> None:
    receipts = Receipts()
    batch_of(receipts, 0, 1)
    found = settled(receipts, 1, hub_pb2.OUTCOME_REFUSED, by="w")
    assert found == {"waiter 0": "Nacked", "waiter 1": "Nacked"}


def test_no_receiver_names_the_topic() -> None:
    receipts = Receipts()
    batch_of(receipts, 0)
    ((_, heard),) = receipts.settle(hub_pb2.Receipt(receipt=1, outcome=hub_pb2.OUTCOME_NO_RECEIVER))
    assert isinstance(heard, NoReceiver)
    assert "'t'" in str(heard)


def test_a_receipt_nobody_waits_for_and_an_outcome_of_a_newer_hub_tell_nobody() -> None:
    receipts = Receipts()
    batch_of(receipts, 0)
    assert settled(receipts, 7, hub_pb2.OUTCOME_HANDLED) == {}
    assert settled(receipts, 1, 99) == {}


def test_one_message_joins_a_frame_after_another_has_given_up() -> None:
    receipts = Receipts()
    batch = batch_of(receipts, 0)
    receipts.forget(batch, 0)
    assert len(receipts) == 0
    receipts.expect(batch, 1, "waiter 1")
    assert settled(receipts, 1, hub_pb2.OUTCOME_HANDLED) == {"waiter 1": "Handled"}
    receipts.forget(batch, 1)


@given(
    st.sets(st.integers(0, 9), min_size=1),
    st.sets(st.integers(0, 9)),
    st.sets(st.integers(0, 9)),
    st.sampled_from([hub_pb2.OUTCOME_HANDLED, hub_pb2.OUTCOME_REFUSED, hub_pb2.OUTCOME_NO_RECEIVER]),
)
def test_whoever_still_waits_hears_exactly_once(
    waiting: set[int], gone: set[int], refused: set[int], outcome: Any
) -> None:
    receipts = Receipts()
    batch = batch_of(receipts, *waiting)
    for position in gone:
        receipts.forget(batch, position)
    receipt = hub_pb2.Receipt(receipt=1, outcome=outcome, messages=sorted(refused))
    heard = [waiter for waiter, _ in receipts.settle(receipt)]
    assert sorted(heard) == sorted(f"waiter {position}" for position in waiting - gone)
    assert receipts.settle(receipt) == []
    assert receipts.abandon() == []
    assert len(receipts) == 0
