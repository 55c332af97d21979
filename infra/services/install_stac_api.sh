#!/usr/bin/env bash
# Makes the virtual environment of the STAC API server, apart from Furrow's own so that their pins never meet.
# usage: infra/services/install_stac_api.sh ENVDIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
env=${1:?usage: install_stac_api.sh ENVDIR}
pins=$here/stac-api-constraints.txt
mark=$env/installed
if [ -e "$mark" ] && [ "$mark" -nt "$pins" ]; then exit 0; fi

"${PYTHON:-python3}" -m venv "$env"
wanted=(stac-fastapi.pgstac "pypgstac[psycopg]" uvicorn)
if command -v uv >/dev/null; then
  # uv does not read pip's settings; hand on those that say where wheels lie.
  export UV_FIND_LINKS=${UV_FIND_LINKS-${PIP_FIND_LINKS-}} UV_EXTRA_INDEX_URL=${UV_EXTRA_INDEX_URL-${PIP_EXTRA_INDEX_URL-}}
  uv pip install --quiet --python "$env/bin/python" -c "$pins" "${wanted[@]}"
else
  "$env/bin/python" -m pip install --quiet --disable-pip-version-check -c "$pins" "${wanted[@]}"
fi
touch "$mark"
