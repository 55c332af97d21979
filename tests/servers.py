"""Real servers for tests, started by the scripts of infra/services and stopped when the test is over."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import s3fs

HOUSE = Path(__file__).parents[1]
SERVICES = HOUSE / "infra" / "services"
STAC_ENV = HOUSE / ".services" / "stac-api"
GDAL_ENV = HOUSE / ".services" / "gdal"

POSTGIS = "Debian's postgresql-15 and postgresql-15-postgis-3"
CEPH = "Debian's ceph-mon, ceph-osd, radosgw and ceph-common"


def need(found: object, what: str) -> None:
    """Skip, and say why, where a server is not installed; fail where the environment says that it has to be."""
    if not found:
        missing = f"{what} not installed (infra/README.md says how)"
        if os.environ.get("FURROW_SERVERS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)


@contextmanager
def started(script: str, *words: str | Path) -> Iterator[dict[str, str]]:
    """What a service says of itself, while it runs; it ends with its input, so even a killed test run stops it."""
    command = [str(SERVICES / script), *map(str, words)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as service:
        assert service.stdin and service.stdout
        lines = iter(service.stdout.readline, "")
        said = dict(line.strip().split("=", 1) for line in iter(lambda: next(lines, "ready\n"), "ready\n"))
        assert service.poll() is None, f"{script} did not start; it says why above"
        yield said
        service.stdin.close()


@contextmanager
def stac_api() -> Iterator[dict[str, str]]:
    """`address` of an empty STAC API and the `database` behind it."""
    need(list(Path("/usr/share/postgresql").glob("*/extension/postgis.control")), POSTGIS)
    need((STAC_ENV / "installed").exists(), "the environment that `make services` makes is")
    with started("stac_api.sh", STAC_ENV) as said:
        yield said


def load_stac(database: str, kind: str, file: Path) -> None:
    """Put `collections` or `items`, one JSON a line, into the API's database."""
    command = [STAC_ENV / "bin" / "pypgstac", "load", kind, file, "--dsn", database, "--method", "insert"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def gdal_looks(store: Path | str, *arrays: str) -> dict[str, Any]:
    """What a GDAL that knows shards says of a store."""
    need((GDAL_ENV / "installed").exists(), "the GDAL that `make services` installs is")
    command = [GDAL_ENV / "bin" / "python", SERVICES / "gdal_looks.py", store, *arrays]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@contextmanager
def s3() -> Iterator[Mapping[str, str]]:
    """The AWS variables of a user of an empty S3 server; everything else of AWS that the environment holds is gone."""
    need(all(map(which, ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph"))), CEPH)
    with started("s3.sh") as said:
        s3fs.S3FileSystem.clear_instance_cache()  # of a server that another file of tests has stopped
        yield {
            "AWS_ENDPOINT_URL": said["address"],
            "AWS_ACCESS_KEY_ID": said["access_key"],
            "AWS_SECRET_ACCESS_KEY": said["secret_key"],
            "AWS_DEFAULT_REGION": "default",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
