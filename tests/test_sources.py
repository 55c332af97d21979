"""What a cluster gets of us: the packages, and nothing that lies beside them."""

from pathlib import Path

from ray._private.runtime_env.packaging import _get_excludes

from cluster.session import sources


def test_packages_travel_and_hidden_folders_do_not() -> None:
    """As Ray itself sees it, which asks of the folder, too, whether it is to be left out."""
    here = sources()
    root = Path(here["working_dir"])
    is_left_out = _get_excludes(root, here["excludes"])
    travels = [root, root / "pipelines", root / "pipelines" / "cli.py", root / "models" / "swift.py"]
    stays = [root / name for name in (".git", ".venv", ".ci", "tests", "docs", "benchmarks", "furrow-demo")]
    assert not any(map(is_left_out, travels)) and all(map(is_left_out, stays))
