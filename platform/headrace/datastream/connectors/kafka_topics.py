"""Names of topics and addresses of Kafka, checked where the user wrote them."""

from __future__ import annotations

import re

from headrace.common.call_site import wrong

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def checked_topic(where: str, topic: str) -> str:
    """The topic, if Kafka can have one of this name; else the user's line is named."""
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise wrong(
            f"{where}: {topic!r:.80} is no topic name",
            hint="a topic is named with 1 to 249 letters, digits, dots, underscores and dashes",
        )
    return topic


def checked_pattern(pattern: str) -> str:
    """The regular expression, if Python can read it; else the user's line is named."""
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise wrong(
            f"set_topic_pattern(): {pattern!r:.80} is no regular expression: {error}",
            hint='a pattern is matched with whole topic names, such as "orders-.*"',
        ) from None
    return pattern


def checked_bootstrap(servers: str) -> str:
    """The text, if it has the form of bootstrap servers; else the user's line is named."""
    if not isinstance(servers, str) or not addresses(servers):
        raise wrong(f"set_bootstrap_servers() takes host:port, or several of them with commas, not {servers!r:.80}")
    return servers


def addresses(servers: str) -> set[str]:
    """The host:port pairs of bootstrap servers; names of this machine are one."""
    hosts = {each.strip().rpartition("://")[2].lower() for each in servers.split(",")}
    return {re.sub(r"^(localhost|\[::1\]):", "127.0.0.1:", host) for host in hosts if re.fullmatch(r".+:\d+", host)}
