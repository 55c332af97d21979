#!/usr/bin/env bash
# Makes a virtual environment with a GDAL of its own, 3.13: the first that reads the shards of Zarr v3. Furrow's has 3.10.
# usage: infra/services/install_gdal.sh ENVDIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
env=${1:?usage: install_gdal.sh ENVDIR}
pins=$here/gdal-constraints.txt
mark=$env/installed
if [ -e "$mark" ] && [ "$mark" -nt "$pins" ]; then exit 0; fi

"${PYTHON:-python3}" -m venv "$env"
# Without what these want besides: only the GDAL inside the wheel is of use here.
if command -v uv >/dev/null; then
  # uv does not read pip's settings; hand on those that say where wheels lie.
  export UV_FIND_LINKS=${UV_FIND_LINKS-${PIP_FIND_LINKS-}} UV_EXTRA_INDEX_URL=${UV_EXTRA_INDEX_URL-${PIP_EXTRA_INDEX_URL-}}
  uv pip install --quiet --no-deps --python "$env/bin/python" -r "$pins"
else
  "$env/bin/python" -m pip install --quiet --no-deps --disable-pip-version-check -r "$pins"
fi
touch "$mark"
