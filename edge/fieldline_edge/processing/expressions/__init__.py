"""Formulas over the tags of a device: parsed once, without eval, and bounded in everything they can cost."""
