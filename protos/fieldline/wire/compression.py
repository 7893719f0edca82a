"""zstd with bounds: what is decompressed is known, and checked, before a byte of it is allocated.

`ZstdDecompressor.decompress(data, max_output_size=n)` ignores n when the frame declares its own size, so the frame
header is read first; a frame that does not declare its size is refused.
"""

import threading

import zstandard

from fieldline.errors import DecodeError
from fieldline.limits import ZSTD_WINDOW_BYTES_MAX

__all__ = ["compress", "decompress"]

_local = threading.local()  # zstandard contexts are not safe to share between threads


def compress(data: bytes, *, level: int = 3) -> bytes:
    """One zstd frame that declares its content size and carries no checksum (frames have their own CRC)."""
    compressors: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level, write_content_size=True)
    return compressors[level].compress(data)


def decompress(data: bytes, *, size_max: int) -> bytes:
    """The content of exactly one zstd frame of at most `size_max` bytes; DecodeError for everything else."""
    try:
        header = zstandard.get_frame_parameters(data)
    except zstandard.ZstdError as error:
        raise DecodeError(f"not a zstd frame: {error}") from error
    if header.content_size > size_max:  # an undeclared size reads as 2**64 - 1
        raise DecodeError(f"zstd frame declares {header.content_size} bytes; at most {size_max} are allowed")
    if header.window_size > ZSTD_WINDOW_BYTES_MAX:
        raise DecodeError(f"zstd frame wants a window of {header.window_size} bytes; at most {ZSTD_WINDOW_BYTES_MAX}")
    if header.dict_id:
        raise DecodeError(f"zstd frame needs dictionary {header.dict_id}, which is not known here")
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    try:
        content = decompressor.decompress(data, max_output_size=size_max, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DecodeError(f"zstd frame is corrupt: {error}") from error
    if len(content) != header.content_size:
        raise DecodeError(f"zstd frame holds {len(content)} bytes but declares {header.content_size}")
    return content
