"""Device profiles: the register maps of real devices, by name, from public manuals and maps."""

from fieldline_edge.profiles.catalogue import load_profile, profile_names, with_profile
from fieldline_edge.profiles.expand import ALL_TAGS, expand
from fieldline_edge.profiles.settings import Checked, ManualSettings, ProfileSettings, RecogniseSettings

__all__ = [
    "ALL_TAGS",
    "Checked",
    "ManualSettings",
    "ProfileSettings",
    "RecogniseSettings",
    "expand",
    "load_profile",
    "profile_names",
    "with_profile",
]
