"""The hub's view of the wire is the clients' view: same numbers, same bytes."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from fieldline.v1 import hub_pb2, passthrough_pb2

PAIRS = [
    (passthrough_pb2.RawPublishRequest, hub_pb2.PublishRequest),
    (passthrough_pb2.RawFrames, hub_pb2.Frames),
    (passthrough_pb2.RawSubscribeResponse, hub_pb2.SubscribeResponse),
    (passthrough_pb2.RawDeliveries, hub_pb2.Deliveries),
    (passthrough_pb2.RawDelivery, hub_pb2.Delivery),
]
LENGTH_DELIMITED = {FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING}


@pytest.mark.parametrize(("raw", "real"), PAIRS, ids=lambda one: one.DESCRIPTOR.name)
def test_every_field_has_the_same_number_name_and_wire_type(raw: type, real: type) -> None:
    def shape(message: type) -> dict[int, tuple[str, object, bool]]:
        fields = message.DESCRIPTOR.fields  # type: ignore[attr-defined]  # the stubs leave it out
        return {
            one.number: (one.name, "bytes" if one.type in LENGTH_DELIMITED else one.type, one.is_repeated)
            for one in fields
        }

    assert shape(raw) == shape(real)


FRAME = hub_pb2.Frame(topic="a/b", key="k", sequence=7, count=2, encoding=hub_pb2.ENCODING_MESSAGES, body=b"body")


def test_a_publish_request_reads_the_same_both_ways() -> None:
    real = hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[FRAME, FRAME]))
    raw = passthrough_pb2.RawPublishRequest.FromString(real.SerializeToString())
    assert [hub_pb2.Frame.FromString(one) for one in raw.frames.frames] == [FRAME, FRAME]
    assert raw.SerializeToString() == real.SerializeToString()


def test_deliveries_read_the_same_both_ways() -> None:
    deliveries = [
        hub_pb2.Delivery(offset=5, producer="p", epoch=9, frame=FRAME, missed_frames=3),
        hub_pb2.Delivery(offset=6, frame=FRAME),
    ]
    real = hub_pb2.SubscribeResponse(deliveries=hub_pb2.Deliveries(deliveries=deliveries))
    raw = passthrough_pb2.RawDeliveries(deliveries=[one.SerializeToString() for one in deliveries])
    wrapped = passthrough_pb2.RawSubscribeResponse(deliveries=raw)
    assert hub_pb2.SubscribeResponse.FromString(wrapped.SerializeToString()) == real


def test_a_missed_count_may_be_added_behind_a_finished_delivery() -> None:
    finished = hub_pb2.Delivery(offset=5, producer="p", epoch=9, frame=FRAME).SerializeToString()
    finished += passthrough_pb2.RawDelivery(missed_frames=11).SerializeToString()
    read = hub_pb2.Delivery.FromString(finished)
    assert (read.offset, read.missed_frames, read.frame) == (5, 11, FRAME)
