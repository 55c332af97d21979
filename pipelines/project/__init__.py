"""The project file: a run described in one TOML file."""

from pipelines.project.file import Project, load_project, parse_project

__all__ = ["Project", "load_project", "parse_project"]
