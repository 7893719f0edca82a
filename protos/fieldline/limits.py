"""Bounds on everything that crosses a wire or is kept: one place to read them, one to change them."""

from typing import Final

PROTOCOL_VERSION: Final = 1

# Names, topics, filters. 255 bytes keep a topic inside one MQTT bridge hop and one index page.
NAME_CHARACTERS_MAX: Final = 64
TOPIC_BYTES_MAX: Final = 255
TOPIC_LEVELS_MAX: Final = 16
KEY_BYTES_MAX: Final = 255
FILTERS_PER_SUBSCRIPTION_MAX: Final = 64

# A frame must fit one gRPC message with room for its siblings' headers; 1 MiB costs the hub about a millisecond.
FRAME_BYTES_MAX: Final = 1 << 20
# Everything in a frame that is not its body. Windows count on it: see fieldline.client.subscription.
FRAME_ENVELOPE_BYTES_MAX: Final = 1024
FRAME_MESSAGES_MAX: Final = 65_536
FRAME_RAW_BYTES_MAX: Final = 4 << 20
HEADERS_PER_MESSAGE_MAX: Final = 64
HEADER_BYTES_MAX: Final = 4_096
GRPC_MESSAGE_BYTES_MAX: Final = 4 << 20
# 90,000 tiny frames in one request would keep a hub from everybody else for half a second; these take it 30 ms.
REQUEST_FRAMES_MAX: Final = 4_096

# Reading batches (docs/reference/wire-format.md).
BATCH_PAYLOAD_BYTES_MAX: Final = 1 << 20
BATCH_RAW_BYTES_MAX: Final = 4 << 20
BATCH_READINGS_MAX: Final = 65_536
BATCH_SERIES_MAX: Final = 8_192
BATCH_STRING_BYTES_MAX: Final = 256
BATCH_STRINGS_BYTES_MAX: Final = 64 << 10
ZSTD_WINDOW_BYTES_MAX: Final = 8 << 20

# What may wait for an acknowledgement, per publish stream.
IN_FLIGHT_BYTES_MAX: Final = 16 << 20
IN_FLIGHT_FRAMES_MAX: Final = 4096

# Time to live of a message: what fits 32 bits of milliseconds, in whole days.
TTL_S_MAX: Final = 49 * 24 * 3600

# What waits to be handed over as it is: volatile messages of one client. At either bound the oldest are dropped.
VOLATILE_QUEUE_BYTES_MAX: Final = 4 << 20
VOLATILE_WAIT_S_MAX: Final = 2.0

# What an agent says of itself on joining (fieldline.agent).
CAPABILITIES_PER_AGENT_MAX: Final = 32
CAPABILITY_BYTES_MAX: Final = 256
VERSION_BYTES_MAX: Final = 64
