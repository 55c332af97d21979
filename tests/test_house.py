"""The drawing of the house, enforced: who may import whom, no cycles, and the traps of top-level packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
ROOMS = ("catalogs", "models", "cluster", "pipelines")

MAY_IMPORT = {
    "catalogs": {"catalogs"},
    "models": {"models"},
    "cluster": {"cluster"},
    "pipelines": {"catalogs", "models", "cluster", "pipelines"},
}

NEVER = {
    "catalogs": {"ray", "torch", "distributed"},
    "models": {
        "ray", "dask", "distributed", "xarray", "zarr", "rasterio", "rioxarray", "geopandas", "pyogrio", "fsspec",
        "s3fs", "pystac", "stackstac", "socket", "urllib", "requests",
    },
    "cluster": {"zarr", "xarray", "rasterio", "geopandas", "pyogrio", "stackstac", "shapely"},
    "pipelines": set(),
}  # fmt: skip

BANNED_NAMES = {"utils", "common", "helpers", "base", "manager", "misc"}

FILES = [path for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: the tree's names are the import names"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_follow_the_drawing(path: Path) -> None:
    room = path.relative_to(HOUSE).parts[0]
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert not tops & set(ROOMS) - MAY_IMPORT[room]
    assert not tops & NEVER[room]
    assert not tops & {"tests", "infra", "pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}


def test_no_import_cycles() -> None:
    modules = {module_of(path): path for path in FILES}
    edges = {name: {i for i in imports_of(path) if i in modules and i != name} for name, path in modules.items()}
    for name in [name for name, path in modules.items() if path.name == "__init__.py"]:
        for other in edges:  # a package's front door imports its rooms; that they name the package is no cycle
            if other.startswith(name + "."):
                edges[other].discard(name)
    while leaves := [name for name, needed in edges.items() if not needed]:
        for leaf in leaves:
            del edges[leaf]
        for needed in edges.values():
            needed.difference_update(leaves)
    assert not edges, f"these import each other in a circle: {sorted(edges)}"


def test_models_open_nothing() -> None:
    for path in (HOUSE / "models").rglob("*.py"):
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "open"], path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_files_have_one_idea_and_say_it(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert path.stem not in BANNED_NAMES
    if text.strip():
        doc = ast.get_docstring(ast.parse(text))
        assert doc, f"{path} does not say what it is"


def test_the_top_level_names_are_ours() -> None:
    """torch.hub, and any distribution with a package called `models`, must not come before ours."""
    for room in ROOMS:
        code = f"import torch, {room}; print({room}.__path__[0])"
        place = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        assert Path(place) == HOUSE / room


def test_git_and_ray_ship_every_package() -> None:
    """A `models/` line in .gitignore would take the package out of what Ray sends to other machines."""
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *map(str, FILES)], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    assert ignored.stdout == ""


def test_tests_shadow_no_package() -> None:
    assert not list((HOUSE / "tests").rglob("__init__.py"))


def test_the_text_does_not_speak_of_a_machine() -> None:
    suspicious = ("/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/", "file:///o" + "pt")
    tracked = subprocess.run(["git", "ls-files"], cwd=HOUSE, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        path = HOUSE / name
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".txt", ".html", ".css", ""} and path.is_file():
            text = path.read_text(errors="ignore")
            assert not [word for word in suspicious if word in text], name
