"""The ten Sentinel-2 bands of a cube, in wavelength order, and the scene classification beside them."""

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

NATIVE_RESOLUTION = {  # metres
    "B02": 10, "B03": 10, "B04": 10, "B08": 10,
    "B05": 20, "B06": 20, "B07": 20, "B8A": 20, "B11": 20, "B12": 20,
    "SCL": 20,
}  # fmt: skip

CENTRE_WAVELENGTH = {  # nanometres, Sentinel-2A
    "B02": 492.4, "B03": 559.8, "B04": 664.6, "B05": 704.1, "B06": 740.5,
    "B07": 782.8, "B08": 832.8, "B8A": 864.7, "B11": 1613.7, "B12": 2202.4,
}  # fmt: skip

SCL_CLASSES = {
    0: "no_data", 1: "saturated", 2: "dark", 3: "cloud_shadow", 4: "vegetation", 5: "bare_soil", 6: "water",
    7: "unclassified", 8: "cloud_medium", 9: "cloud_high", 10: "thin_cirrus", 11: "snow",
}  # fmt: skip

CLEAR_SCL = (4, 5, 6, 7)
"""What a composite may use: vegetation, bare soil, water, unclassified."""
