"""zstd with bounds: what is given back was meant, and nothing hostile costs memory."""

import contextlib
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fieldline.errors import DecodeError
from fieldline.limits import ZSTD_WINDOW_BYTES_MAX
from fieldline.wire.compression import compress, decompress

MIB = 1 << 20


@given(st.binary(max_size=5000), st.integers(1, 19))
def test_what_goes_in_comes_out(data: bytes, level: int) -> None:
    assert decompress(compress(data, level=level), size_max=len(data)) == data


@given(st.binary(max_size=300))
def test_any_bytes_give_content_or_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decompress(data, size_max=1000)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_damaged_frame_gives_content_of_the_declared_size_or_a_decode_error(
    plain: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(compress(plain))
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(DecodeError):
        assert len(decompress(bytes(damaged), size_max=1000)) <= 1000


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_cut_frame_is_refused(plain: bytes, data: st.DataObject) -> None:
    whole = compress(plain)
    with pytest.raises(DecodeError):
        decompress(whole[: data.draw(st.integers(0, len(whole) - 1))], size_max=1000)


def test_one_byte_over_the_limit_is_refused() -> None:
    assert len(decompress(compress(bytes(1000)), size_max=1000)) == 1000
    with pytest.raises(DecodeError, match="at most 999"):
        decompress(compress(bytes(1000)), size_max=999)


def _bomb(*, declared: bool) -> bytes:
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=declared)
    if declared:
        return compressor.compress(bytes(64 * MIB))
    writer = compressor.compressobj()
    return writer.compress(bytes(64 * MIB)) + writer.flush()


@pytest.mark.parametrize("declared", [True, False])
def test_a_bomb_is_refused_before_it_takes_memory(declared: bool) -> None:
    bomb = _bomb(declared=declared)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decompress(bomb, size_max=MIB)
        assert tracemalloc.get_traced_memory()[1] < 2 * MIB
    finally:
        tracemalloc.stop()


def test_a_lie_about_the_size_is_refused() -> None:
    honest = bytearray(compress(b"x" * 100))
    assert honest[5] == 100  # single segment: the content size stands behind the descriptor
    honest[5] = 50
    with pytest.raises(DecodeError):
        decompress(bytes(honest), size_max=1000)


def test_a_window_over_the_limit_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=True)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    wide = writer.compress(b"x") + writer.flush()
    assert zstandard.get_frame_parameters(wide).window_size > ZSTD_WINDOW_BYTES_MAX
    with pytest.raises(DecodeError):
        decompress(wide, size_max=1 << 62)


@pytest.mark.parametrize("extra", [b"\x00", compress(b"second")])
def test_anything_behind_the_frame_is_refused(extra: bytes) -> None:
    with pytest.raises(DecodeError):
        decompress(compress(b"first") + extra, size_max=1000)


def test_a_dictionary_is_refused() -> None:
    samples = [b"device %d temperature %d" % (n, n * 7) for n in range(2000)]
    dictionary = zstandard.train_dictionary(1024, list(samples))
    data = zstandard.ZstdCompressor(dict_data=dictionary).compress(samples[0])
    with pytest.raises(DecodeError, match="dictionary"):
        decompress(data, size_max=1000)
