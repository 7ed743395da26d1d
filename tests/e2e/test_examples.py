"""Every example both ways, in its own process and on the platform: the same results, and those of plain Python."""

from __future__ import annotations

import os
import random
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from examples import shop
from examples.made_up_hosts import SERIES, measurement
from tests.e2e.example_runs import (
    environment,
    example,
    run_both,
    start_here,
    topic_rows,
)
from tests.e2e.platform_site import Site
from tests.example_oracles import (
    every_fiftieth_total,
    host_alerts,
    host_windows,
    running_counts,
    shop_funnel,
    shop_products,
    shop_sessions,
    shop_visits,
    sorted_rows,
    views_per_window,
)

from streamctl.demo.board import LineBoard
from streamctl.demo.data import load_airlines, load_flights
from streamctl.demo.expected import Row, expected_rows
from streamctl.demo.machine import METRICS
from streamctl.demo.monitoring import Timetable, watch_machine
from streamctl.trial.filling import create_topics, fill

pytestmark = pytest.mark.e2e

LINES = ["one fish two fish", "Red fish, blue fish!", "", "  this one\thas a little star  "]
HOST_LIMITS = {"cpu_percent": (80, 60), "memory_percent": (90, 85), "disk_percent": (90, 85)}


@pytest.fixture(scope="module")
def site(platform: Site) -> Iterator[Site]:
    platform.await_healthy()
    yield platform
    assert platform.mistakes() == []


@pytest.fixture
def topics(site: Site) -> Callable[..., list[str]]:
    """Makes topics of this test's own: ``topics(flights=2)`` has two partitions."""

    def make(**partitions: int) -> list[str]:
        mark = uuid.uuid4().hex[:6]
        names = {f"{name}-{mark}": count for name, count in partitions.items()}
        create_topics(site.bootstrap, names)
        return list(names)

    return make


def write(site: Site, topic: str, rows: list[Any], partitions: int = 1) -> None:
    fill(site.bootstrap, topic, ((n % partitions, msgspec.json.encode(row)) for n, row in enumerate(rows)))


def test_hello(site: Site) -> None:
    expected = [("", "HELLO"), ("", "STREAMING"), ("", "WORLD")]
    assert run_both(site, "hello.py", (), (), lines=len(expected), parallelism=1) == (expected, expected)


def test_word_count_of_a_folder(site: Site, tmp_path: Path) -> None:
    for number, line in enumerate(LINES):
        (tmp_path / f"{number}.txt").write_text(line)
    expected = sorted_rows(running_counts(LINES))
    assert ("fish", 4) in expected and ("star", 1) in expected
    where = ("--input", str(tmp_path))
    for found in run_both(site, "word_count.py", where, where, lines=len(expected)):
        assert sorted_rows(value for _, value in found) == expected


def test_word_count_into_files(site: Site, tmp_path: Path) -> None:
    text, here, there = tmp_path / "text", tmp_path / "here", tmp_path / "there"
    text.write_text("\n".join(LINES))
    where = ("--input", str(text), "--output")
    assert run_both(site, "word_count.py", (*where, str(here)), (*where, str(there))) == ([], [])
    expected = sorted(f"{word} {count}" for word, count in running_counts(LINES))
    for folder in (here, there):
        assert sorted(line for path in folder.rglob("part-*") for line in path.read_text().splitlines()) == expected


def test_monitoring_raises_and_clears_alerts_on_a_synthetic_load(site: Site, topics) -> None:
    measurements = [measurement(11, index) for index in range(600 * len(SERIES))]
    windows = host_windows(measurements, 5_000)
    alerts = host_alerts(windows, HOST_LIMITS)
    for state in ("RAISED", "CLEARED"):
        assert {alert["metric"] for alert in alerts if alert["state"] == state} == HOST_LIMITS.keys()
    windows_topic, alerts_topic = topics(windows=2, alerts=1)
    synthetic = ("--synthetic", "11")
    sinks = ("--windows", windows_topic, "--alerts", alerts_topic)
    here, there = run_both(site, "monitoring.py", synthetic, (*synthetic, *sinks))
    assert there == []
    assert sorted_rows(value for label, value in here if label == "window") == sorted_rows(windows)
    assert sorted_rows(value for label, value in here if label == "ALERT") == sorted_rows(alerts)
    assert sorted_rows(topic_rows(site, windows_topic)) == sorted_rows(windows)
    assert sorted_rows(topic_rows(site, alerts_topic)) == sorted_rows(alerts)


def test_monitoring_live_as_the_demo_shows_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A real load on this machine, seen through the platform: what is shown, and the alerts that follow from it."""
    times = Timetable(watch_s=5, load_from_s=0, load_to_s=5, window_ms=1_000, interval_ms=100)
    machine = watch_machine(site.cluster.addresses, LineBoard(), times)
    lines = capsys.readouterr().out.splitlines()
    windows = [window for kept in machine.windows.values() for window in kept]
    assert machine.windows.keys() == METRICS.keys()
    assert len(machine.windows["cpu_percent"]) >= 4
    assert len([line for line in lines if " CPU " in line and " Disk " in line]) == len(
        {window.end for window in windows}
    )
    for metric, limits in HOST_LIMITS.items():
        rows = (asdict(window) for window in machine.windows[metric])
        seen = [asdict(alert) for alert in machine.alerts if alert.metric == metric]
        assert (
            seen == host_alerts(rows, {metric: limits})[: len(seen)]
        )  # the alert of the last window may be on its way
    assert {str(alert) for alert in machine.alerts} <= set(lines)
    if _all_cores_are_ours():
        assert any(alert.metric == "cpu_percent" and alert.raised for alert in machine.alerts)


def _all_cores_are_ours() -> bool:
    """Whether no limit of a container keeps a load from filling the machine."""
    limit = Path("/sys/fs/cgroup/cpu.max")
    unlimited = not limit.exists() or limit.read_text().startswith("max")
    return unlimited and len(os.sched_getaffinity(0)) == os.cpu_count()


def test_analytics_of_a_shop(site: Site, topics) -> None:
    """Out of order, none too late: which ones are depends on the time they take; those: tests/unit/examples."""
    events = shop.events(5, late_share=0)
    assert events != sorted(events, key=lambda event: event["at"])
    visits = shop_visits(events)
    rows = {"products": shop_products(events), "sessions": shop_sessions(visits), "funnel": shop_funnel(visits)}
    prefix = f"shop-{uuid.uuid4().hex[:6]}"
    create_topics(site.bootstrap, {f"{prefix}-{name}": 2 for name in (*rows, "late")})
    fast = ("--seed", "5", "--late-share", "0", "--rate", "1000000")
    here, there = run_both(site, "analytics.py", fast, (*fast, "--topics", prefix))
    assert there == []
    assert {label for label, _ in here} == rows.keys()
    for name, expected in rows.items():
        assert sorted_rows(value for label, value in here if label == name) == sorted_rows(expected)
        assert sorted_rows(topic_rows(site, f"{prefix}-{name}")) == sorted_rows(expected)
    assert topic_rows(site, f"{prefix}-late") == []


def test_flights(site: Site, topics) -> None:
    flights_topic, airlines_topic, here, there = topics(flights=4, airlines=1, here=2, there=2)
    flights, airlines = load_flights()[::50], load_airlines()
    write(site, flights_topic, [flight._asdict() for flight in flights], partitions=4)
    write(site, airlines_topic, [{"carrier": code, "name": name} for code, name in airlines.items()])
    inputs = ("--flights", flights_topic, "--airlines", airlines_topic, "--days")
    assert run_both(site, "flights.py", (*inputs, here), (*inputs, there)) == ([], [])
    expected = sorted_rows(asdict(row) for row in expected_rows(flights, airlines))
    for topic in (here, there):
        found = ({field.name: row[field.name] for field in fields(Row)} for row in topic_rows(site, topic))
        assert sorted_rows(found) == expected


def test_keyed_count(site: Site, topics) -> None:
    events_topic, here, there = topics(events=3, here=1, there=2)
    chance = random.Random(5)
    events = [
        {
            "user": f"u{chance.randrange(20):05}",
            "kind": chance.choice(("view", "view", "click")),
            "ts": 1_700_000_000_000 + n * 20 - chance.randrange(900),
        }
        for n in range(4_000)
    ]
    write(site, events_topic, events, partitions=3)
    where = ("--input", events_topic, "--output")
    assert run_both(site, "keyed_count.py", (*where, here), (*where, there)) == ([], [])
    expected = sorted_rows(views_per_window(events, 10_000))
    assert sorted_rows(topic_rows(site, here)) == sorted_rows(topic_rows(site, there)) == expected


def test_running_totals(site: Site, topics) -> None:
    """The job reads what comes after its start and has no end: both are started, then fed, then ended."""
    events_topic, here, there = topics(events=1, here=1, there=1)
    where = ("--input", events_topic, "--output")
    process = start_here("running_totals.py", *where, here, variables=environment(site))
    try:
        said = site.streamctl("submit", str(example("running_totals.py")), "--json", "--", *where, there)
        assert said.last["status"] == "RUNNING", said
        _await_readers(site, events_topic, here, there)
        chance = random.Random(3)
        events = [
            {"id": n, "user": f"u{chance.randrange(5)}", "amount": chance.randint(-20, 100)} for n in range(2_000)
        ]
        write(site, events_topic, events)
        expected = every_fiftieth_total(events)
        for topic in (here, there):
            site.until(lambda topic=topic: len(_fed(site, topic)) >= len(expected), f"all totals are in {topic}")
            assert _fed(site, topic) == expected
        assert site.streamctl("cancel", said.last["job_id"], "--wait", "--json").last["status"] == "CANCELED"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr.strip()) == (130, "interrupted")
    finally:
        process.kill()


def _await_readers(site: Site, events_topic: str, *outputs: str) -> None:
    """Write probes until both jobs have answered one: then they read everything that comes."""

    def answered() -> bool:
        write(site, events_topic, [{"id": 0, "user": "probe", "amount": 1}])
        return all(topic_rows(site, topic) for topic in outputs)

    site.until(answered, "both jobs read", 60)


def _fed(site: Site, topic: str) -> list[Any]:
    return [row for row in topic_rows(site, topic) if row["user"] != "probe"]
