"""``streamctl version``."""

from __future__ import annotations

import typer

from streamctl.options import JsonOption, output_of


def version(context: typer.Context, json: JsonOption = False) -> None:
    """Print the versions of Headrace and of what it stands on."""
    import platform
    from importlib.metadata import version as installed

    import confluent_kafka

    versions = {
        "headrace": installed("headrace"),
        "python": platform.python_version(),
        "confluent-kafka": installed("confluent-kafka"),
        "librdkafka": confluent_kafka.libversion()[0],
    }
    text = "\n".join(f"{name} {number}" for name, number in versions.items())
    output_of(context).result({**versions}, text)
