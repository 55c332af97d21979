#!/usr/bin/env bash
# A STAC API (stac-fastapi with pgSTAC) on a PostgreSQL of its own, for as long as standard input stays open.
# usage: infra/services/stac_api.sh ENVDIR     (ENVDIR is made by install_stac_api.sh)
# Says `address=...`, `database=...` and `ready` once it answers. The end of its input, or a signal, stops and removes all.
set -euo pipefail
. "$(dirname "$0")/lifetime.sh"
env=$(cd "${1:?usage: stac_api.sh ENVDIR}" && pwd)
programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)

start_folder
# PostgreSQL refuses to run as root. Its socket lies in a folder that nobody else can enter, so it asks no password
# and listens to no network.
if [ "$(id -u)" = 0 ]; then
  owner=(--reuid postgres --regid postgres --init-groups)
  chown postgres "$folder"
else
  owner=(--pdeathsig KILL)
fi
setpriv "${owner[@]}" "$programs/initdb" --pgdata "$folder/data" --username postgres --auth trust --encoding UTF8 --locale C \
  --no-sync >"$folder/initdb.log" 2>&1
keep setpriv "${owner[@]}" --pdeathsig INT "$programs/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= \
  -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=64MB -c timezone=UTC
export PGHOST=$folder PGPORT=5432 PGUSER=postgres PGPASSWORD=none PGDATABASE=postgres
until_true 60 "$programs/pg_isready" --quiet
"$env/bin/pypgstac" migrate >"$folder/migrate.log" 2>&1

# The API builds an address out of its settings, in which a folder must be quoted. Port 0: the system finds a free one.
PGHOST=${folder//\//%2F} PGSSLMODE=disable keep setpriv --pdeathsig KILL "$env/bin/uvicorn" --factory \
  stac_fastapi.pgstac.app:create_app --host 127.0.0.1 --port 0
address=
find_address() { address=$(grep -o 'http://127.0.0.1:[0-9]*' "$log" | head -1) && [ -n "$address" ]; }
until_true 60 find_address
echo "address=$address"
echo "database=postgresql:///postgres?host=$folder&user=postgres"
stay
