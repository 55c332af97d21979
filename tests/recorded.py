"""Recorded answers of the real catalogues, read where they lie; they are no part of this repository."""

import json
from pathlib import Path

import pytest

REAL = Path(__file__).parents[2] / "shared" / "data" / "stac"

needs_real = pytest.mark.skipif(not REAL.exists(), reason="the recorded answers of the catalogues are not here")

FLAGGED = "earthsearch_v1_item_sentinel-2-l2a_S2B_20EPT_20250731_0_L2A.json"
COLLECTION_1 = "earthsearch_v1_item_sentinel-2-c1-l2a_S2B_T20EPT_20250731T131905_L2A.json"
V0 = "earthsearch_v0_search_one_item.json"
PLANETARY = "planetarycomputer_search_sentinel-2-l2a_trimmed.json"
COPERNICUS = "cdse_v1_search_sentinel-2-l2a.json"
COPERNICUS_2020 = "cdse_v1_search_one_item_2020_N0500.json"
STACTOOLS_0212 = "other/stactools_S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.json"
STACTOOLS_0400 = "other/stactools_S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.json"


def answer(name: str) -> dict:
    content = json.loads((REAL / name).read_text())
    return content.get("response", content)


def recorded(name: str) -> list[dict]:
    """The items of a recorded answer."""
    content = answer(name)
    return content.get("features", [content])
