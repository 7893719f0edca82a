"""The spool: keeps frames on disk until the hub has them, through power cuts, full disks and long outages."""

from fieldline_edge.spool.policy import Entry, Loss, State
from fieldline_edge.spool.spool import Spool
from fieldline_edge.spool.status import read_state

__all__ = ["Entry", "Loss", "Spool", "State", "read_state"]
