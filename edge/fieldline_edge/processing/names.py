"""Words that several settings of processing share."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from fieldline.topics import check_name

__all__ = ["TAG_NAME_MAX", "Name", "SeverityName"]

Name = Annotated[str, AfterValidator(check_name)]
SeverityName = Literal["info", "warning", "critical"]
TAG_NAME_MAX: Final = 64
"""Longest name of a tag."""
