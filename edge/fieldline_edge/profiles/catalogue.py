"""Where profiles are found and read: the ones that come with the package, and files of one's own."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from fieldline.config import load, loads, read
from fieldline.errors import ConfigError
from fieldline_edge.profiles.expand import ProfileMisused, expand
from fieldline_edge.profiles.settings import ProfileSettings

__all__ = ["folder", "load_profile", "profile_names", "with_profile"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def folder() -> Path:
    """Where the packaged profiles are: inside the package when installed, config/profiles in a checkout."""
    here = Path(__file__).resolve()
    installed = here.parent / "data"
    return installed if installed.is_dir() else here.parents[3] / "config" / "profiles"


def profile_names() -> list[str]:
    """Names of the profiles that come with the package, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load_profile(name: str) -> ProfileSettings:
    """The profile of that name, or in the file of that path (anything with a slash or .yaml). Raises ConfigError.

    Those of the package are read once in the life of a process; a file of one's own every time, as it may change, but
    it is checked again only when it did: devices with the same profile get the same object, and so share its tags.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        text, shown = read(name), str(Path(name))
        # What a file takes from the environment can change while its text stays.
        return loads(text, ProfileSettings, name=shown) if "${" in text else _checked(text, shown)
    return _packaged(name)


@lru_cache(maxsize=16)
def _checked(text: str, name: str) -> ProfileSettings:
    return loads(text, ProfileSettings, name=name)


@lru_cache(maxsize=64)
def _packaged(name: str) -> ProfileSettings:
    names = profile_names()
    if name not in names or not _NAME.match(name):
        near = get_close_matches(name, names, n=1)
        cure = f"did you mean {near[0]!r}?" if near else "`fieldline-edge profiles` lists them."
        raise ConfigError(f"{name[:80]!r} is no profile; {cure} A file of your own is written as a path")
    return load(folder() / f"{name}.yaml", ProfileSettings)


def with_profile(device: Any) -> Any:
    """What a device's settings are made from: expanded if it names a profile, as it is if not.

    For a pydantic `before` validator: what is wrong is raised as a ValidationError at its place in the device.
    """
    if not isinstance(device, Mapping) or device.get("profile") is None:
        return device
    name = device["profile"]
    if not isinstance(name, str):
        return device
    try:
        return expand(device, load_profile(name))
    except ConfigError as error:
        raise _at(("profile",), str(error), name) from error
    except ProfileMisused as error:
        raise _at(error.place, str(error), name) from error


def _at(place: tuple[str | int, ...], message: str, given: Any) -> ValidationError:
    error = PydanticCustomError("value_error", "{message}", {"message": message})
    return ValidationError.from_exception_data("profile", [InitErrorDetails(type=error, loc=place, input=given)])
