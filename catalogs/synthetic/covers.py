"""Everything that covers the ground of the made-up country: crop varieties with their season, and the rest."""

from dataclasses import dataclass

from catalogs.synthetic import spectra
from catalogs.synthetic.spectra import Spectrum


@dataclass(frozen=True)
class Season:
    """Days of the year in the warmest place; what `spread` says is a standard deviation between parcels."""

    up: float
    """middle of the green-up"""
    rise: float
    """steepness of the green-up: days from a half to three quarters of cover"""
    down: float = 400.0
    """middle of ripening; 400 = stays green"""
    fall: float = 6.0
    gone: float = 400.0
    """harvest"""
    base: float = 0.0
    """cover before the green-up, as a share of the full cover"""
    top: float = 0.92
    """ground covered at the peak"""
    spread: float = 6.0


@dataclass(frozen=True)
class Bloom:
    day: float
    width: float
    strength: float
    colour: Spectrum


@dataclass(frozen=True)
class Mowing:
    days: tuple[float, ...]
    depth: float
    """share of the cover that a cut takes"""
    regrowth: float
    """days until two thirds of it are back"""


@dataclass(frozen=True)
class Declared:
    """What a farmer's declaration says: Austria's code and name, and the columns that EuroCrops adds."""

    code: str
    name: str
    translated: str
    hcat_name: str
    hcat_code: str


@dataclass(frozen=True)
class Cover:
    green: Spectrum
    season: Season
    ripe: Spectrum = spectra.STRAW
    bloom: Bloom | None = None
    mowing: Mowing | None = None
    crop: int = 0
    share: float = 0.0
    """of the declared land"""
    declared: Declared | None = None
    rough: float = 0.04
    """relative spread of brightness inside a piece of ground"""


YELLOW = Bloom(day=122, width=9, strength=0.75, colour=spectra.RAPESEED_FLOWER)
HEADS = Bloom(day=198, width=10, strength=0.65, colour=spectra.SUNFLOWER_FLOWER)
HAY_3 = Mowing(days=(140, 187, 236), depth=0.50, regrowth=17)
HAY_2 = Mowing(days=(158, 228), depth=0.52, regrowth=20)
LUCERNE = Mowing(days=(132, 167, 203, 244), depth=0.78, regrowth=12)
CLOVER = Mowing(days=(138, 178, 224), depth=0.72, regrowth=13)

WINTER_WHEAT = Season(up=96, rise=13, down=184, fall=6, gone=207, base=0.32, top=0.92, spread=5)
WINTER_BARLEY = Season(up=92, rise=13, down=166, fall=6, gone=187, base=0.38, top=0.91, spread=5)
SPRING_CEREAL = Season(up=120, rise=8, down=185, fall=6, gone=206, top=0.88, spread=6)
WINTER_RAPE = Season(up=88, rise=12, down=177, fall=8, gone=202, base=0.45, top=0.94, spread=5)
SILAGE = Season(up=167, rise=8, down=262, fall=9, gone=258, top=0.92, spread=8)
GRAIN_MAIZE = Season(up=163, rise=8, down=255, fall=9, gone=284, top=0.92, spread=7)

COVERS: dict[str, Cover] = {
    # the ten crops
    "grain_maize": Cover(
        spectra.MAIZE, GRAIN_MAIZE, spectra.DRY_STALKS, crop=1, share=0.095,
        declared=Declared("105", "KÖRNERMAIS", "GRAIN CORN", "grain_maize_corn_popcorn", "3301010600"),
    ),
    "silage_maize": Cover(
        spectra.MAIZE, SILAGE, spectra.DRY_STALKS, crop=1, share=0.065,
        declared=Declared("109", "SILOMAIS", "SILO CORN", "green_silo_maize", "3301090400"),
    ),
    "winter_wheat": Cover(
        spectra.CEREAL, WINTER_WHEAT, crop=2, share=0.120,
        declared=Declared("138", "WINTERWEICHWEIZEN", "WINTER SOFT WHEAT", "winter_common_soft_wheat", "3301010101"),
    ),
    "durum": Cover(
        spectra.CEREAL, WINTER_WHEAT, crop=2, share=0.018,
        declared=Declared(
            "165", "WINTERHARTWEIZEN (DURUM)", "HARD WINTER WHEAT (DURUM)", "winter_durum_hard_wheat", "3301010201"
        ),
    ),
    "spelt": Cover(
        spectra.CEREAL, WINTER_WHEAT, crop=2, share=0.012,
        declared=Declared("145", "WINTERDINKEL (SPELZ)", "WINTER SPELT (SPELT)", "winter_spelt", "3301011001"),
    ),
    "winter_barley": Cover(
        spectra.BARLEY, WINTER_BARLEY, crop=3, share=0.078,
        declared=Declared("110", "WINTERGERSTE", "WINTER BARLEY", "winter_barley", "3301010401"),
    ),
    "spring_barley": Cover(
        spectra.BARLEY, SPRING_CEREAL, crop=3, share=0.012,
        declared=Declared("111", "SOMMERGERSTE", "SUMMER BARLEY", "spring_barley", "3301010402"),
    ),
    "rapeseed": Cover(
        spectra.RAPESEED, WINTER_RAPE, spectra.DRY_STALKS, bloom=YELLOW, crop=4, share=0.075,
        declared=Declared("301", "WINTERRAPS", "WINTER RAPE", "winter_rapeseed_rape", "3301060401"),
    ),
    "sunflower": Cover(
        spectra.SUNFLOWER, Season(up=156, rise=8, down=240, fall=8, gone=266, top=0.88, spread=6),
        spectra.DRY_STALKS, bloom=HEADS, crop=5, share=0.055,
        declared=Declared("307", "SONNENBLUMEN", "SUNFLOWERS", "sunflower", "3301060500"),
    ),
    "sugar_beet": Cover(
        spectra.SUGAR_BEET, Season(up=153, rise=10, gone=287, top=0.94, spread=7), crop=6, share=0.055,
        declared=Declared("651", "ZUCKERRÜBEN", "SUGAR BEET", "sugar_beet", "3301290700"),
    ),
    "potato": Cover(
        spectra.POTATO, Season(up=151, rise=7, down=222, fall=9, gone=251, top=0.90, spread=7), crop=7, share=0.034,
        declared=Declared("524", "SPEISEKARTOFFELN", "EDIBLE POTATOES", "potatoes", "3301030000"),
    ),
    "starch_potato": Cover(
        spectra.POTATO, Season(up=154, rise=7, down=232, fall=9, gone=260, top=0.92, spread=7), crop=7, share=0.014,
        declared=Declared("519", "STÄRKEINDUSTRIEKARTOFFELN", "STARCH POTATOES", "potatoes", "3301030000"),
    ),
    "soybean": Cover(
        spectra.SOYBEAN, Season(up=171, rise=9, down=249, fall=6, gone=269, top=0.93, spread=7), crop=8, share=0.055,
        declared=Declared("308", "SOJABOHNEN", "SOYBEANS", "soy_soybeans", "3301160000"),
    ),
    "alfalfa": Cover(
        spectra.FORAGE_LEGUME, Season(up=98, rise=11, base=0.35, top=0.95, spread=6), mowing=LUCERNE,
        crop=9, share=0.048,
        declared=Declared("635", "LUZERNE", "ALFALFA", "alfalfa_lucerne", "3301090301"),
    ),
    "clover": Cover(
        spectra.FORAGE_LEGUME, Season(up=94, rise=11, base=0.45, top=0.94, spread=6), mowing=CLOVER,
        crop=9, share=0.032,
        declared=Declared("633", "KLEE", "CLOVER", "clover", "3301090303"),
    ),
    "meadow_3": Cover(
        spectra.GRASS, Season(up=86, rise=14, base=0.62, top=0.88, spread=6), mowing=HAY_3, crop=10, share=0.085,
        declared=Declared(
            "717", "MÄHWIESE/-WEIDE DREI UND MEHR NUTZUNGEN", "MOWING MEADOW / PASTURE (THREE AND MORE USES)",
            "pasture_meadow_grassland_grass", "3302000000",
        ),
    ),
    "meadow_2": Cover(
        spectra.GRASS, Season(up=90, rise=15, base=0.58, top=0.85, spread=6), mowing=HAY_2, crop=10, share=0.045,
        declared=Declared(
            "716", "MÄHWIESE/-WEIDE ZWEI NUTZUNGEN", "MOWING MEADOW / PASTURE (TWO USES)",
            "pasture_meadow_grassland_grass", "3302000000",
        ),
    ),
    "pasture": Cover(
        spectra.GRASS, Season(up=88, rise=16, base=0.60, top=0.78, spread=6), crop=10, share=0.030,
        declared=Declared("715", "DAUERWEIDE", "PERMANENT PASTURE", "pasture_meadow_grassland_grass", "3302000000"),
    ),
    "temporary_grass": Cover(
        spectra.GRASS, Season(up=92, rise=12, base=0.50, top=0.90, spread=7), mowing=HAY_3, crop=10, share=0.020,
        declared=Declared(
            "663", "FUTTERGRÄSER / FELDGEMÜSE", "FORAGE GRASS / FIELD VEGETABLES", "temporary_grass", "3301090100"
        ),
    ),
    # other declared crops: background in the map
    "peas": Cover(
        spectra.PEA, Season(up=113, rise=8, down=171, fall=6, gone=188, top=0.88, spread=6), share=0.014,
        declared=Declared("201", "KÖRNERERBSEN", "GRAIN PEAS", "peas", "3301020600"),
    ),
    "oats": Cover(
        spectra.CEREAL, SPRING_CEREAL, share=0.012,
        declared=Declared("155", "SOMMERHAFER", "SUMMER OATS", "spring_oats", "3301010502"),
    ),
    "vineyard": Cover(
        spectra.VINE, Season(up=140, rise=12, down=290, fall=8, base=0.35, top=0.60), rough=0.09, share=0.012,
        declared=Declared("901", "WEIN", "WINE", "vineyards_wine_vine_rebland_grapes", "3303060000"),
    ),
    "fallow": Cover(
        spectra.GRASS, Season(up=125, rise=18, down=235, fall=20, base=0.40, top=0.72, spread=14),
        rough=0.08, share=0.014,
        declared=Declared("771", "GRÜNBRACHE", "GREEN FALLOW", "fallow_land_not_crop", "3301110000"),
    ),
    # what nobody declares
    "verge": Cover(spectra.GRASS, Season(up=95, rise=15, base=0.6, top=0.55), spectra.GRAVEL, rough=0.12),
    "conifers": Cover(spectra.CONIFER, Season(up=-200, rise=10, top=0.97), rough=0.10),
    "broadleaf": Cover(
        spectra.BROADLEAF, Season(up=118, rise=5, down=286, fall=8, base=0.05, top=0.97, spread=3),
        spectra.BARE_TREES, rough=0.09,
    ),
    "water": Cover(spectra.WATER, Season(up=-200, rise=10, top=1.0, spread=0), rough=0.06),
    "roofs": Cover(spectra.ROOF, Season(up=-200, rise=10, top=0.85), rough=0.22),
    "gardens": Cover(spectra.BROADLEAF, Season(up=105, rise=10, down=290, base=0.5, top=0.75), rough=0.18),
}  # fmt: skip

NAMES = tuple(COVERS)
INDEX = {name: number for number, name in enumerate(NAMES)}
TABLE = tuple(COVERS.values())
