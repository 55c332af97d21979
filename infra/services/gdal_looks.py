"""What GDAL sees of a Zarr store, as JSON: python gdal_looks.py STORE ARRAY.. in the environment of install_gdal.sh."""

import hashlib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

HOME = Path(find_spec("pyramids").submodule_search_locations[0])
sys.path.insert(0, str(HOME / "_vendor"))
os.environ |= {"PROJ_DATA": str(HOME / "_data/proj_data"), "GDAL_DATA": str(HOME / "_data/gdal_data")}

from osgeo import gdal  # noqa: E402  (from the wheel's own folder)


def look(store, array):
    """gdalinfo of an array, and digests of its pixels and of those of its overviews."""
    dataset = gdal.Open(f'ZARR:"{store}":/{array}')
    band = dataset.GetRasterBand(1)
    overviews = [digest(band.GetOverview(number)) for number in range(band.GetOverviewCount())]
    attributes = gdal.OpenEx(str(store), gdal.OF_MULTIDIM_RASTER).GetRootGroup().OpenMDArray(array).GetAttributes()
    return {
        "info": gdal.Info(dataset, format="json"),
        "epsg": dataset.GetSpatialRef().GetAuthorityCode(None),
        "pixels": digest(band),
        "overviews": overviews,
        "attributes": {attribute.GetName(): attribute.Read() for attribute in attributes},
    }


def digest(band):
    return hashlib.sha256(band.ReadAsArray().tobytes()).hexdigest()


def main():
    gdal.UseExceptions()
    store, *arrays = sys.argv[1:]
    print(json.dumps({"version": gdal.__version__, **{array: look(store, array) for array in arrays}}, default=list))


main()
