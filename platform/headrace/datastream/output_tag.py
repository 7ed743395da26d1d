"""Names of side outputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.common.call_site import wrong
from headrace.common.typeinfo import TypeInformation

__all__ = ["OutputTag"]


@dataclass(frozen=True, slots=True)
class OutputTag:
    """A side output by its id. ``yield tag, value`` in a process function sends ``value`` there.

    Tags of one id are the same side output of an operator, wherever they are made; ``type_info`` gives the values
    of the stream that ``get_side_output`` makes their declared form. Values that nobody takes are dropped.
    """

    tag_id: str
    type_info: TypeInformation | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.tag_id, str) or not 0 < len(self.tag_id) <= 200:
            raise wrong(f"the id of an OutputTag must be a str of 1 to 200 characters, not {self.tag_id!r:.60}")
        if self.type_info is not None and not isinstance(self.type_info, TypeInformation):
            raise wrong(f"a declared type must come from Types, such as Types.STRING(), not {self.type_info!r:.80}")
