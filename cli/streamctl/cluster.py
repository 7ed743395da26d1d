"""Which cluster a command talks to: options, then variables and files, then the cluster of ``streamctl up``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headrace.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from headrace.settings import Settings

REST_DEFAULT = "http://127.0.0.1:8081"


@dataclass(frozen=True)
class Cluster:
    """Addresses of one cluster. ``kafka`` holds extra librdkafka options (TLS, SASL); ``token`` is for its REST."""

    namespace: str
    bootstrap: str
    rest: str
    kafka: dict[str, str] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)


class Running(Protocol):
    """Addresses of the cluster that ``streamctl up`` started."""

    @property
    def bootstrap(self) -> str: ...
    @property
    def rest(self) -> str: ...
    @property
    def namespace(self) -> str: ...


def find_cluster(
    *,
    bootstrap: str | None,
    rest: str | None,
    namespace: str | None,
    settings: Settings,
    embedded: Callable[[], Running | None],
) -> Cluster:
    """The cluster to talk to.

    The embedded cluster's REST and namespace are used only with the embedded cluster's Kafka: addresses of two
    clusters are never mixed. Raises UnavailableError ("no-cluster") when nothing names a cluster.
    """
    chosen = bootstrap or settings.bootstrap
    running = embedded()
    if chosen is None:
        if running is None:
            raise UnavailableError(
                "no-cluster",
                "no cluster: none is named and none is up here",
                hint="run `streamctl up`, or name one with --bootstrap or HEADRACE_BOOTSTRAP",
            )
        chosen = running.bootstrap
    ours = running if running is not None and running.bootstrap == chosen else None
    named = namespace or (settings.namespace if "namespace" in settings.model_fields_set else None)
    return Cluster(
        namespace=named or (ours.namespace if ours else settings.namespace),
        bootstrap=chosen,
        rest=rest_url(rest or settings.rest or (ours.rest if ours else REST_DEFAULT)),
        kafka=settings.kafka,
        token=settings.rest_token,
    )


def load_settings() -> Settings:
    """Settings from files and variables. Raises UsageError naming each wrong value and where it stands."""
    from headrace import settings

    return settings.load_settings()


def rest_url(text: str) -> str:
    """A base URL without its last slash; "host:port" means http. Raises UsageError for another scheme."""
    url = text if "://" in text else f"http://{text}"
    if not url.startswith(("http://", "https://")):
        raise UsageError("rest-url", f"not an http address: {text!r}", hint="write it as http://HOST:PORT")
    return url.rstrip("/")
