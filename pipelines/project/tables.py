"""What tables and keys of a project file have in common."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

import pipelines.project.checks as checks

Text = Annotated[str, AfterValidator(checks.printable)]
Name = Annotated[str, AfterValidator(checks.plain_name)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]


def key(meaning: str, example: Any, unit: str = "", default: Any = ..., **limits: Any) -> Any:
    """A key of the project file; docs/project-file.md and the error messages repeat what is said of it here."""
    return Field(default, description=meaning, examples=[example], json_schema_extra={"unit": unit}, **limits)


class Table(BaseModel):
    """A table of the project file: nothing unknown, nothing of another type, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)
