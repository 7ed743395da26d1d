"""Which cluster a command talks to, and that addresses of two clusters are never mixed."""

import pytest

from headrace.embedded.cluster import Addresses
from headrace.errors import HeadraceError, UnavailableError, UsageError
from headrace.settings import Settings
from streamctl.cluster import Cluster, find_cluster, load_settings, rest_url

LOCAL = Addresses("127.0.0.1:19000", "redis://127.0.0.1:19002/0", "http://127.0.0.1:19001", "headrace")


def found(embedded: Addresses | None = LOCAL, settings: Settings | None = None, **options: str) -> Cluster:
    names = {"bootstrap": None, "rest": None, "namespace": None} | options
    return find_cluster(settings=settings or Settings(), embedded=lambda: embedded, **names)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BOOTSTRAP", "REST", "NAMESPACE", "REDIS", "REST_PORT"):
        monkeypatch.delenv(f"HEADRACE_{name}", raising=False)


def test_cluster_when_nothing_is_named_then_the_local_one() -> None:
    assert found() == Cluster("headrace", LOCAL.bootstrap, LOCAL.rest)


def test_cluster_when_nothing_is_named_and_none_is_up_then_says_what_to_do() -> None:
    with pytest.raises(UnavailableError, match="no cluster") as raised:
        found(embedded=None)
    assert raised.value.exit_code == 3
    assert "streamctl up" in raised.value.hint


def test_cluster_when_another_kafka_is_named_then_not_the_local_rest() -> None:
    cluster = found(bootstrap="kafka.example:9092")
    assert cluster.rest == "http://127.0.0.1:8081"
    assert cluster.namespace == "headrace"


def test_cluster_when_the_local_kafka_is_named_then_the_local_rest() -> None:
    assert found(bootstrap=LOCAL.bootstrap).rest == LOCAL.rest


def test_cluster_when_option_and_variable_differ_then_the_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BOOTSTRAP", "variable:9092")
    monkeypatch.setenv("HEADRACE_NAMESPACE", "variable")
    settings = load_settings()
    assert found(settings=settings).bootstrap == "variable:9092"
    assert found(settings=settings).namespace == "variable"
    chosen = found(settings=settings, bootstrap="option:9092", namespace="option", rest="option:80")
    assert chosen == Cluster("option", "option:9092", "http://option:80")


def test_settings_when_a_variable_is_wrong_then_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REST_PORT", "many")
    with pytest.raises(UsageError, match="HEADRACE_REST_PORT: .*integer"):
        load_settings()


@pytest.mark.parametrize("text", ["ftp://x", "unix:///tmp/s"])
def test_rest_url_when_not_http_then_refused(text: str) -> None:
    with pytest.raises(HeadraceError, match="not an http address"):
        rest_url(text)
