"""The families of parcel files, named here alone."""

from typing import Literal, get_args

Kind = Literal["eurocrops", "eurocrops-v2", "national"]
"""HCAT codes in EC_hcat_c; original_code; a country's own columns"""

KINDS: tuple[Kind, ...] = get_args(Kind)
