"""The spool: keeps frames on disk until the hub has them, through power cuts, full disks and long outages."""

from fieldline_edge.spool.bounds import Bounds, WhenFull
from fieldline_edge.spool.lanes import DrainOrder
from fieldline_edge.spool.policy import Entry, Loss, State
from fieldline_edge.spool.spool import Spool
from fieldline_edge.spool.status import read_state

__all__ = ["Bounds", "DrainOrder", "Entry", "Loss", "Spool", "State", "WhenFull", "read_state"]
