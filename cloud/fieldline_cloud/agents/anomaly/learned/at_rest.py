"""Readings of a machine that stands still: its tags together are another machine then. Pure."""

from collections.abc import Sequence

from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.rest import last_good
from fieldline_cloud.agents.anomaly.learned.tracks import DeviceTracks

__all__ = ["take_at_rest"]


def take_at_rest(watch: DeviceTracks, frame: Sequence[Series]) -> bool:
    """Take the last value of each tag that is judged together with others, once the device has settled.

    Sensors fail at night as well. Whether anything was taken; nothing else is learned while a device rests.
    """
    taken = False
    for series in frame:
        track = watch.tracks.get(series.tag)
        if watch.at_rest is None or track is None or not track.is_joint or not series.at_ns:
            continue
        value, watch.newest_ns = last_good(series), series.at_ns[-1]
        if isinstance(value, int | float) and watch.rest.is_settled(watch.newest_ns):
            watch.at_rest.take(watch.newest_ns, series.tag, float(value))
            watch.rest_since_ns = watch.rest_since_ns or watch.newest_ns
            taken = True
    return taken
