"""What learned alarms say to a person. Pure."""

from fieldline.model import Band
from fieldline_cloud.agents.anomaly.learned.scorers import Feature
from fieldline_cloud.agents.anomaly.learned.units import Conversion

__all__ = ["belongs", "changed_unit", "stuck", "unusual"]


def unusual(tag: str, value: float, band: Band | None, feature: Feature, unit: str) -> str:
    """One tag is not where it usually is, or moves more than it usually does."""
    if feature is Feature.SPREAD:
        return f"{tag} is unsteady: it moves by {_said(value, unit)} where up to {_said(_high(band), unit)} is usual"
    if band is None:
        return f"{tag} at {_said(value, unit)} is not usual"
    return f"{tag} is {_said(value, unit)} where {band.low:.6g} to {_said(band.high, unit)} is usual"


def belongs(tag: str, value: float, band: Band | None, unit: str) -> str:
    """One tag does not fit the others."""
    if band is None:
        return f"{tag} at {_said(value, unit)} does not go with the other tags as it used to"
    usual = f"{band.low:.6g} to {_said(band.high, unit)}"
    return f"{tag} is {_said(value, unit)}; with the other tags as they are, {usual} is usual"


def stuck(tag: str, value: float, unit: str) -> str:
    """One tag says the same for too long."""
    return f"{tag} has said {_said(value, unit)} for much longer than it ever did: its sensor may be stuck"


def changed_unit(tag: str, before: float, after: float, conversion: Conversion) -> str:
    """One tag speaks in another unit."""
    return f"{tag} looks like a change of unit ({conversion.text}): {before:.6g} has become {after:.6g} and stays there"


def _high(band: Band | None) -> float:
    return float("nan") if band is None else band.high


def _said(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}" if unit else f"{value:.6g}"
