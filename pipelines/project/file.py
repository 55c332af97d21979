"""The project file: a run described in one TOML file that a person can read aloud."""

import difflib
import tomllib
from os.path import abspath, expanduser
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from catalogs.errors import BadInput
from pipelines.project.checks import is_address
from pipelines.project.errors import explained, hidden, in_one
from pipelines.project.secrets import secrets
from pipelines.project.settings import Settings

TABLES: dict[str, type[BaseModel]] = {
    name: field.annotation for name, field in Settings.model_fields.items() if isinstance(field.annotation, type)
}
TOML_REMEDY = "Correct that line: key = value, text in quotes, dates as 2021-03-01, tables in [brackets]."


class Project(Settings):
    """A project file that was read and checked; paths in it count from its own folder."""

    path: Path = Field(exclude=True)  # where a file lies is not part of what it says

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def boundary(self) -> Path | None:
        return Path(self._absolute(self.region.boundary)) if self.region.boundary else None

    @property
    def catalog(self) -> str | None:
        """A catalogue in files, the address of a STAC API, or None for the provider's own."""
        return self._absolute(self.imagery.catalog) if self.imagery.catalog else None

    @property
    def temperatures(self) -> Path | None:
        return Path(self._absolute(self.imagery.temperatures)) if self.imagery.temperatures else None

    @property
    def labels_file(self) -> str:
        """The path of the parcels, the address to download them from, or their name in EuroCrops."""
        self.check_declared()
        assert self.labels.file
        return self.labels.file if self.labels.file.startswith("eurocrops:") else self._absolute(self.labels.file)

    def check_declared(self) -> None:
        """Refuse what needs declarations where the project says that there are none."""
        if self.labels.file is None:
            given = f'{self.path}, [labels] source = "none"'
            remedy = "Name them in [labels]; or have a network label that knows other ground: `furrow selftrain`."
            raise BadInput(given, "there are no declarations to label with.", remedy)

    @property
    def labels_mapping(self) -> Path | None:
        return Path(self._absolute(self.labels.mapping)) if self.labels.mapping else None

    @property
    def class_table(self) -> Path | None:
        return Path(self._absolute(self.labels.classes)) if self.labels.classes else None

    @property
    def crosswalk_table(self) -> Path | None:
        return Path(self._absolute(self.labels.crosswalk)) if self.labels.crosswalk else None

    @property
    def encoder(self) -> str | None:
        return self._absolute(self.model.encoder) if self.model.encoder else None

    @property
    def teacher(self) -> str | None:
        return self._absolute(self.model.teacher) if self.model.teacher else None

    @property
    def elevation(self) -> str | None:
        return self._absolute(self.model.elevation) if self.model.elevation else None

    @property
    def also(self) -> tuple[str, ...]:
        """Roots of other projects whose patches train too."""
        return tuple(self._absolute(root) for root in self.training.also)

    @property
    def sources(self) -> tuple[str, ...]:
        """Roots of labelled projects that self-training learns from."""
        return tuple(self._absolute(root) for root in self.selftrain.source)

    @property
    def teachers(self) -> tuple[tuple[str, str], ...]:
        """Root and name of each checkpoint that labels the region."""
        return tuple(map(self._placed, self.selftrain.teachers))

    @property
    def shares_table(self) -> Path | None:
        return Path(self._absolute(self.selftrain.shares)) if self.selftrain.shares else None

    @property
    def field_outlines(self) -> Path | None:
        return Path(self._absolute(self.selftrain.fields)) if self.selftrain.fields else None

    @property
    def root(self) -> str:
        """The store root: an absolute path, or s3://bucket/prefix."""
        return self._absolute(self.store.root)

    @property
    def published(self) -> str:
        """Where versions are published, as `root` is said."""
        return self._absolute(self.store.published) if self.store.published else f"{self.root}/published"

    @property
    def checkpoint(self) -> str:
        """The name of the checkpoint to map with."""
        return self._placed(self.map.checkpoint or self.model.name)[1]

    @property
    def checkpoint_root(self) -> str:
        """Where it lies: in this root, or in another that is named with it."""
        return self._placed(self.map.checkpoint or self.model.name)[0]

    def _placed(self, checkpoint: str) -> tuple[str, str]:
        """Root and name."""
        place, _, name = checkpoint.rpartition(" ")
        return (self._absolute(place) if place else self.root), name

    def _absolute(self, place: str) -> str:
        return place if is_address(place) else abspath(self.folder / expanduser(place))


def load_project(path: str | Path, address: str | None = None) -> Project:
    """Read and check a project file; everything that is wrong with it comes in one BadInput.

    With another address than the file's for the cluster, if one is given.
    """
    return parse_project(_read(Path(path)), Path(path), address)


def parse_project(text: str, path: Path, address: str | None = None) -> Project:
    """Check the text of a project file as if it lay at `path`."""
    try:
        tables = _tables_of(text, path)
        if address is not None and isinstance(tables.setdefault("compute", {}), dict):
            tables["compute"]["address"] = address
        return check_project(tables, path)
    except RecursionError:
        raise BadInput(str(path), "is nested too deeply to be a project file.", TOML_REMEDY) from None


def check_project(data: dict[str, Any], path: Path) -> Project:
    """Check the tables of a project file as if it lay at `path`."""
    found = {place: hidden(place, why) for place, why in secrets(data)}
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        found |= {place: problem for place, problem in explained(error, data, TABLES).items() if place not in found}
    if found:
        raise in_one(path, list(found.values()))
    return Project(path=Path(abspath(path)), **{name: getattr(settings, name) for name in TABLES})


def _tables_of(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise BadInput(str(path), f"is not TOML: {error}.", TOML_REMEDY) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(str(path), "there is no such file.", _instead_of(path)) from None
    except IsADirectoryError:
        raise BadInput(str(path), "is a folder, not a project file.", _instead_of(path / "project.toml")) from None
    except UnicodeDecodeError:
        raise BadInput(str(path), "is not text in UTF-8.", "Save it as plain text in UTF-8.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInput(str(path), f"cannot be read ({why}).", "Check the path and who may read it.") from None


def _instead_of(path: Path) -> str:
    """The project files beside it, those with a similar name first."""
    beside = sorted(file.name for file in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.4) or beside[:3]
    new = "Write a new one with `furrow init`."
    return f"Did you mean {' or '.join(str(path.parent / name) for name in near)}? {new}" if near else new
