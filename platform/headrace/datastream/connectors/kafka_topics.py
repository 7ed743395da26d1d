"""Names and options that Kafka accepts, checked where the user wrote them."""

from __future__ import annotations

import re

from headrace.common.call_site import wrong

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")

#: Options that the engine sets itself: another value would break exactly-once or the lanes' positions.
_OURS = frozenset(
    {
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "isolation.level",
        "transactional.id",
        "transaction.timeout.ms",
    }
)
_INSTEAD = {
    "auto.offset.reset": "use set_starting_offsets()",
    "group.id": "use set_group_id()",
}


def checked_topic(where: str, topic: str) -> str:
    """The topic, if Kafka can have one of this name; else the user's line is named."""
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise wrong(
            f"{where}: {topic!r:.80} is no topic name",
            hint="a topic is named with 1 to 249 letters, digits, dots, underscores and dashes",
        )
    return topic


def checked_property(key: str) -> str:
    """The option's name, if a program may set it; else the user's line is named."""
    if not isinstance(key, str) or not key:
        raise wrong(f"a Kafka option must be named by a str, not {key!r:.60}")
    if key in _OURS:
        raise wrong(f"the Kafka option {key!r} is set by the engine", hint=_INSTEAD.get(key, "leave it out"))
    return key
