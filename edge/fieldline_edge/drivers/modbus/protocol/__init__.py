"""Modbus as a client speaks it, without any I/O: requests and answers, and three ways to frame them. Pure.

A framer packs a request (`ask`) and takes the bytes that come (`receive`); out come answers that belong to their
question by unit and, where there is one, by transaction. `check` then holds the answer against the question.
"""

from fieldline_edge.drivers.modbus.protocol.ascii import AsciiFramer, ascii_frame
from fieldline_edge.drivers.modbus.protocol.debts import Debts
from fieldline_edge.drivers.modbus.protocol.errors import (
    DeviceRefused,
    LostTrack,
    ModbusTrouble,
    NoAnswer,
    NoConnection,
    Stopping,
    WrongAnswer,
)
from fieldline_edge.drivers.modbus.protocol.mbap import TcpFramer
from fieldline_edge.drivers.modbus.protocol.pdu import (
    Identify,
    ReadBits,
    ReadWords,
    Request,
    Write,
    WriteCoil,
    WriteCoils,
    WriteRegister,
    WriteRegisters,
    check,
)
from fieldline_edge.drivers.modbus.protocol.rtu import RtuFramer, rtu_frame

__all__ = [
    "AsciiFramer",
    "Debts",
    "DeviceRefused",
    "Identify",
    "LostTrack",
    "ModbusTrouble",
    "NoAnswer",
    "NoConnection",
    "ReadBits",
    "ReadWords",
    "Request",
    "RtuFramer",
    "Stopping",
    "TcpFramer",
    "Write",
    "WriteCoil",
    "WriteCoils",
    "WriteRegister",
    "WriteRegisters",
    "WrongAnswer",
    "ascii_frame",
    "check",
    "rtu_frame",
]
