"""Who may ask, and who is refused with which code."""

from __future__ import annotations

import pytest

from headrace.errors import HeadraceError
from headrace.rest.access import Access

TOKEN = "a long enough secret"
HOME = {"host": "127.0.0.1:8081"}


def refused(access: Access, path: str, headers: dict[str, str]) -> str:
    """The code of the refusal, empty when there is none."""
    try:
        access.check(path, headers)
    except HeadraceError as error:
        return error.code
    return ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8081", "localhost:9", "[::1]:8081", "127.1.2.3"])
def test_without_a_token_names_of_this_machine_may(host: str) -> None:
    assert refused(Access(), "/api/v1/jobs", {"host": host}) == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "", "localhost.evil.example", "[::1", "10.0.0.1:8081", "127.0.0.1@x"]
)
def test_without_a_token_other_names_may_not(host: str) -> None:
    """A page's own name that points at 127.0.0.1 is how DNS rebinding gets here."""
    assert refused(Access(), "/api/v1/jobs", {"host": host}) == "rest-host-refused"
    assert refused(Access("localhost"), "/health", {"host": host}) == "rest-host-refused"


def test_an_address_for_others_answers_every_name() -> None:
    assert refused(Access("0.0.0.0"), "/jobs", {"host": "dispatcher.example"}) == ""
    assert Access("0.0.0.0").open_to_the_network and Access("10.1.1.1").open_to_the_network
    assert not Access("0.0.0.0", TOKEN).open_to_the_network
    assert not Access("127.0.0.1").open_to_the_network


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "http://127.0.0.1:3000", ""])
def test_pages_of_other_sites_may_not(origin: str, token: str | None) -> None:
    headers = HOME | {"origin": origin, "authorization": f"Bearer {TOKEN}"}
    assert refused(Access(token=token), "/api/v1/jobs", headers) == "rest-host-refused"


def test_a_page_of_the_same_site_may() -> None:
    assert refused(Access(), "/api/v1/jobs", HOME | {"origin": "http://127.0.0.1:8081"}) == ""


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer é",
    ],
)
def test_a_wrong_token_is_refused(authorization: str) -> None:
    assert refused(Access(token=TOKEN), "/metrics", HOME | {"authorization": authorization}) == "rest-unauthorized"


def test_the_right_token_may_ask_by_any_name() -> None:
    headers = {"host": "dispatcher.example", "authorization": f"Bearer {TOKEN}"}
    assert refused(Access(token=TOKEN), "/api/v1/jobs", headers) == ""
    assert refused(Access(token=TOKEN), "/jobs", headers | {"authorization": f"bearer {TOKEN}"}) == ""
    umlauts = "schlüssel-zum-glück"
    wire = umlauts.encode().decode("latin-1")  # as headers come in
    assert refused(Access(token=umlauts), "/jobs", headers | {"authorization": f"Bearer {wire}"}) == ""


def test_open_paths_need_no_token() -> None:
    access = Access(token=TOKEN)
    assert [path for path in ("/health", "/api/v1/docs", "/api/v1/openapi.json") if refused(access, path, HOME)] == []
    assert refused(access, "/health/", HOME) == "rest-unauthorized"
