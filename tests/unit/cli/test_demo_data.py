"""The demo's data and its comparison: it must see every way in which a sink can be wrong."""

from dataclasses import replace

from streamctl.demo.data import Flight, load_airlines, load_flights
from streamctl.demo.expected import Row, compare, expected_rows


def flight(hour: str, carrier: str, delay: int) -> Flight:
    return Flight(f"2013-{hour}:00:00Z", carrier, 1, "JFK", "LAX", delay)


FLIGHTS = [
    flight("01-01T23", "UA", 10),
    flight("01-02T00", "UA", -5),
    flight("01-02T03", "UA", 20),
    flight("01-02T04", "AA", 0),
]
ROWS = expected_rows(FLIGHTS, {"UA": "United", "AA": "American"})


def test_expected_rows_when_days_change_at_midnight_utc_then_one_row_per_carrier_and_day() -> None:
    assert ROWS == [
        Row("AA", "American", "2013-01-02", 1, 0.0, 0),
        Row("UA", "United", "2013-01-01", 1, 10.0, 10),
        Row("UA", "United", "2013-01-02", 2, 7.5, 20),
    ]


def test_compare_when_equal_in_any_order_then_exact() -> None:
    outcome = compare(ROWS, reversed(ROWS))
    assert outcome.exact
    assert (outcome.lost, outcome.duplicated, outcome.wrong) == (0, 0, 0)


def test_compare_when_a_row_is_missing_then_lost() -> None:
    outcome = compare(ROWS, ROWS[1:])
    assert (outcome.exact, outcome.lost, outcome.duplicated, outcome.wrong) == (False, 1, 0, 0)


def test_compare_when_a_row_came_twice_then_duplicated() -> None:
    outcome = compare(ROWS, [*ROWS, ROWS[0], ROWS[0]])
    assert (outcome.exact, outcome.lost, outcome.duplicated, outcome.wrong) == (False, 0, 2, 0)


def test_compare_when_a_value_differs_then_wrong() -> None:
    outcome = compare(ROWS, [replace(ROWS[0], worst_delay=1), *ROWS[1:]])
    assert (outcome.exact, outcome.lost, outcome.duplicated, outcome.wrong) == (False, 0, 0, 1)


def test_load_flights_then_departures_of_2013_in_order_of_their_hour() -> None:
    flights = load_flights()
    assert len(flights) == 328_521
    assert flights[0].time_hour == "2013-01-01T10:00:00Z"
    assert all(a.time_hour <= b.time_hour for a, b in zip(flights, flights[1:], strict=False))
    assert {f.carrier for f in flights} <= set(load_airlines())
    assert len(expected_rows(flights, load_airlines())) == 5430
