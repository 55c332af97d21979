"""Reflectance of pure things in the ten bands, 0..1, drawn by hand after field spectra of the literature."""

from typing import NamedTuple


class Spectrum(NamedTuple):
    B02: float
    B03: float
    B04: float
    B05: float
    B06: float
    B07: float
    B08: float
    B8A: float
    B11: float
    B12: float


# fmt: off
SOIL_DARK = Spectrum(.050, .068, .085, .105, .120, .135, .150, .160, .220, .185)
SOIL_LIGHT = Spectrum(.095, .135, .175, .200, .220, .235, .255, .265, .350, .310)
STRAW = Spectrum(.075, .110, .145, .180, .225, .255, .285, .305, .360, .255)
DRY_STALKS = Spectrum(.060, .088, .115, .150, .205, .240, .270, .290, .320, .220)

CEREAL = Spectrum(.026, .050, .027, .082, .280, .360, .390, .410, .190, .092)
BARLEY = Spectrum(.028, .055, .030, .088, .285, .360, .388, .408, .198, .098)
RAPESEED = Spectrum(.029, .066, .033, .102, .320, .400, .430, .450, .210, .100)
RAPESEED_FLOWER = Spectrum(.060, .160, .140, .195, .330, .390, .420, .430, .230, .120)
MAIZE = Spectrum(.026, .053, .028, .088, .305, .400, .430, .450, .200, .086)
SUNFLOWER = Spectrum(.029, .060, .034, .102, .335, .420, .455, .470, .222, .104)
SUNFLOWER_FLOWER = Spectrum(.036, .085, .066, .128, .335, .415, .445, .460, .225, .106)
SUGAR_BEET = Spectrum(.028, .062, .029, .106, .370, .460, .495, .510, .190, .084)
POTATO = Spectrum(.031, .063, .034, .100, .340, .430, .465, .480, .212, .096)
SOYBEAN = Spectrum(.027, .060, .028, .096, .370, .475, .520, .535, .210, .088)
FORAGE_LEGUME = Spectrum(.026, .056, .030, .092, .325, .410, .445, .460, .208, .096)
GRASS = Spectrum(.029, .058, .035, .098, .295, .370, .400, .420, .222, .110)
PEA = Spectrum(.030, .064, .034, .104, .320, .395, .425, .440, .215, .104)
VINE = Spectrum(.032, .060, .042, .100, .250, .305, .330, .345, .215, .120)

CONIFER = Spectrum(.018, .030, .019, .045, .150, .190, .205, .215, .095, .042)
BROADLEAF = Spectrum(.020, .045, .022, .078, .285, .370, .395, .410, .170, .072)
BARE_TREES = Spectrum(.040, .055, .065, .085, .130, .150, .165, .178, .180, .110)
WATER = Spectrum(.040, .042, .026, .020, .013, .012, .011, .010, .006, .004)
ROOF = Spectrum(.105, .120, .140, .150, .160, .170, .180, .185, .210, .190)
GRAVEL = Spectrum(.100, .120, .140, .155, .165, .175, .190, .195, .240, .215)

CLOUD = Spectrum(.78, .76, .75, .76, .77, .77, .77, .77, .45, .33)
HAZE = Spectrum(1.00, .82, .66, .60, .55, .50, .46, .44, .18, .10)
# fmt: on
"""HAZE is path reflectance relative to blue; the other names are surfaces."""
