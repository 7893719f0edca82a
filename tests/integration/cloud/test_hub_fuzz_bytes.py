"""Any bytes as a request: legal by chance, or a typed error."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.cloud.fuzzing import ERRORS, World, a_world, ending
from tests.integration.cloud.harness import Stream


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


BYTES = st.binary(max_size=200) | st.builds(
    lambda head, rest: head + rest,
    st.sampled_from(
        [b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x0a\x08", b"\x12\x04\x0a\x02", b"\x0a\x06\x0a\x04\x08\x01"]
    ),
    st.binary(max_size=60),
)


@pytest.mark.parametrize("half", ["publish", "subscribe"])
@pytest.mark.parametrize("greeted", [False, True])
def test_any_bytes_as_a_request_are_legal_or_a_typed_error(half: str, greeted: bool, world: World) -> None:
    @settings(max_examples=150, deadline=None)
    @given(data=BYTES)
    def one(data: bytes) -> None:
        async def send() -> tuple[str, str]:
            stream: Stream
            if half == "publish":
                stream = publisher = world.client.publisher()
                if greeted:
                    await publisher.greet("bytes")
            else:
                stream = subscriber = world.client.subscriber()
                if greeted:
                    await subscriber.open("never")
            await stream.send(data)
            with contextlib.suppress(asyncio.InvalidStateError):  # it has ended already
                await stream.half_close()
            return await ending(stream)

        status, code = world.do(send())
        assert (status == "OK" and code == "UNSPECIFIED") or code in ERRORS, (status, code)

    one()
    world.do(world.bystander.is_served())
