"""Why there is no answer to use.

ModbusTrouble
    NoConnection    there is none, or it broke while waiting
    NoAnswer        the unit was silent
    DeviceRefused   the unit, or the gateway before it, answered with an exception code
    WrongAnswer     what came does not fit the question
        LostTrack   and nothing after it can be told apart either: the connection is of no more use
    Stopping        we take no more requests
"""

__all__ = ["DeviceRefused", "LostTrack", "ModbusTrouble", "NoAnswer", "NoConnection", "Stopping", "WrongAnswer"]

_GATEWAY_CODES = (0x0A, 0x0B)  # a gateway says: no path to the unit, or the unit did not answer
# Modbus application protocol, section 7.
_NAMES = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledged, working on it",
    6: "busy",
    7: "negative acknowledge",
    8: "memory parity error",
    0x0A: "gateway has no path to the unit",
    0x0B: "gateway got no answer from the unit",
}


class ModbusTrouble(Exception):
    """Why there is no answer to use."""


class NoConnection(ModbusTrouble):
    """There is no connection, or it broke while waiting."""


class NoAnswer(ModbusTrouble):
    """The unit did not answer in time."""


class DeviceRefused(ModbusTrouble):
    """The unit, or the gateway before it, answered with an exception code."""

    def __init__(self, code: int) -> None:
        name = _NAMES.get(code)
        super().__init__(f"exception code {code}" + (f" ({name})" if name else ""))
        self.code = code

    @property
    def is_unit_gone(self) -> bool:
        """Whether a gateway says that the unit cannot be reached."""
        return self.code in _GATEWAY_CODES


class WrongAnswer(ModbusTrouble):
    """The answer does not fit the question."""


class LostTrack(WrongAnswer):
    """A stream of which nothing can be told any more; only a new connection helps."""


class Stopping(ModbusTrouble):
    """The connection takes no more requests, because the driver ends."""
