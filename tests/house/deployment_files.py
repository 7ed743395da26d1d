"""compose.yaml, the Dockerfile and .dockerignore as data: the parts of their formats that we use, nothing else.

A key that these models do not know is refused, so that a typing error in a file fails a test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
DOCKERFILE = ROOT / "Dockerfile"
DOCKERIGNORE = ROOT / ".dockerignore"

Duration = Annotated[str, Field(pattern=r"^\d+(ms|s|m|h)$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Healthcheck(Part):
    test: list[str] = Field(min_length=2)
    interval: Duration
    timeout: Duration
    retries: int = Field(ge=1)
    start_period: Duration
    start_interval: Duration


class Dependency(Part):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Build(Part):
    context: str
    args: dict[str, str] = {}


class Service(Part):
    """``environment``: compose takes text, and refuses a bare true or false."""

    image: str
    build: Build | None = None
    command: list[str] = []
    hostname: str | None = None
    environment: dict[str, str] = {}
    ports: list[str] = []
    volumes: list[str] = []
    tmpfs: list[str] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: Healthcheck
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    init: bool = False
    stop_grace_period: Duration = "10s"
    read_only: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []

    @property
    def ours(self) -> bool:
        """Whether it is a process of Headrace."""
        return self.image.startswith("headrace:")


class Compose(Part):
    services: dict[str, Service]
    volumes: dict[str, None]

    @property
    def ours(self) -> dict[str, Service]:
        return {name: service for name, service in self.services.items() if service.ours}


def compose(variables: Mapping[str, str] | None = None) -> Compose:
    """The file as compose reads it with these variables; top-level "x-" keys are only there to be referred to."""
    document = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    filled = _interpolated(document, variables or {})
    return Compose.model_validate({key: value for key, value in filled.items() if not key.startswith("x-")})


_VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """``${NAME:-default}`` is the only form that we use; any other dollar is an error."""
    if isinstance(value, dict):
        return {key: _interpolated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    if isinstance(value, str):
        assert "$" not in _VARIABLE.sub("", value), value
        return _VARIABLE.sub(lambda match: variables.get(match[1]) or match[2], value)
    return value


# ---- Dockerfile

_WORDS = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
_WORDS |= {"ENTRYPOINT", "CMD"}


@dataclass(frozen=True)
class Step:
    word: str
    text: str

    @property
    def exec_form(self) -> list[str]:
        """Words of ``["a", "b"]``."""
        words = json.loads(self.text)
        assert isinstance(words, list) and all(isinstance(word, str) for word in words), self.text
        return words


@dataclass
class Stage:
    image: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def texts(self, word: str) -> list[str]:
        return [step.text for step in self.steps if step.word == word]

    def last(self, word: str) -> Step:
        return [step for step in self.steps if step.word == word][-1]

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for text in self.texts("ENV") for pair in text.split())


def dockerfile(arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """Its stages. ``arguments`` take the place of the defaults of ARG."""
    given = dict(arguments or {})
    known: dict[str, str] = {}
    stages: list[Stage] = []
    for line in _logical_lines(DOCKERFILE.read_text(encoding="utf-8")):
        word, _, text = line.partition(" ")
        assert word in _WORDS, line
        if word == "ARG":
            name, _, default = text.partition("=")
            known[name] = given.get(name, default)
        elif word == "FROM":
            image, _, name = text.partition(" AS ")
            for argument, value in known.items():
                image = image.replace(f"${{{argument}}}", value)
            stages.append(Stage(image, name))
        else:
            stages[-1].steps.append(Step(word, text.strip()))
    return stages


def _logical_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines() if line.strip()]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the repository out of the build; for patterns as ours."""
    out = False
    for line in DOCKERIGNORE.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        first, name = path.split("/")[0], path.rsplit("/", 1)[-1]
        if pattern.startswith("**/"):
            hit = any(Path(part).match(pattern[3:]) for part in path.split("/"))
        else:
            hit = pattern == "*" or pattern in (first, path)
        assert name and "[" not in pattern, pattern
        if hit:
            out = not line.startswith("!")
    return out


# ---- systemd units


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section to key to its values, in order."""
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        else:
            key, equals, value = line.partition("=")
            assert equals, line
            current.setdefault(key, []).append(value)
    return sections


# ---- locks

_PIN = re.compile(
    r"^([a-z0-9][a-z0-9.-]*==\S+(?: ; [^\\]+?)?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def pins(lock: Path) -> dict[str, str]:
    """ "name==version ; marker" to its hashes. Fails when a pin has none."""
    text = lock.read_text(encoding="utf-8")
    found = {match[1]: match[2] for match in _PIN.finditer(text)}
    assert len(found) == len(re.findall(r"^[a-z0-9]", text, re.M)), f"{lock.name}: a pin without hashes"
    return found
