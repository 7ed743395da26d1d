"""Options of a connector, declared once: checked where the user writes them, and listed for people."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.common.call_site import wrong

__all__ = ["ConnectorOptions"]


class ConnectorOptions(BaseModel):
    """Derive from it: one field per option, each with a description, a default where there is one, its unit last.

    Making one with a value it cannot have raises UsageError (connector-option-invalid) naming option and line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise wrong(self._complaint(error), code="connector-option-invalid") from None

    def _complaint(self, error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else type(self).__name__
        known = ", ".join(sorted(type(self).model_fields))
        if first["type"] == "extra_forbidden":
            return f"{type(self).__name__} has no option {name!r}; it has {known}"
        if first["type"] == "missing":
            return f"{type(self).__name__} needs the option {name!r}"
        return f"{type(self).__name__}: {name} cannot be {first['input']!r:.80}: {first['msg']}"
