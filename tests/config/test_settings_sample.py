"""The sample's settings.yaml is the documentation of the settings: it lists each one with its default."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from config.settings import Settings
from config.source import ConfigError, load_yaml, parse_yaml, validate

SAMPLE = Path(__file__).parents[2] / "config" / "rail" / "settings.yaml"


def test_the_sample_says_the_defaults() -> None:
    assert validate(SAMPLE, Settings) == Settings()


def test_the_sample_lists_every_setting_and_explains_every_section() -> None:
    data = load_yaml(SAMPLE).data
    assert isinstance(data, dict)
    assert list(data) == list(Settings.model_fields)
    for name, section in Settings():
        assert isinstance(section, BaseModel)
        assert list(data[name]) == list(type(section).model_fields), name
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    for name in data:
        assert lines[lines.index(f"{name}:") - 1].startswith("# "), f"no comment above {name}"


def test_every_setting_can_be_overridden_alone() -> None:
    text = "models: {act_within: 90m}\ntickets: {connector: webhook, url: 'https://tickets.example.org/'}"
    settings = validate(parse_yaml(text, "settings.yaml"), Settings)
    assert settings.models.act_within == timedelta(minutes=90)
    assert settings.models.seed == 0
    assert settings.tickets.url == "https://tickets.example.org"


@pytest.mark.parametrize(("text", "hours"), [("30m", 0.5), ("48h", 48), ("7d", 168)])
def test_durations(text: str, hours: float) -> None:
    settings = validate(parse_yaml(f"models: {{act_within: {text}}}", "settings.yaml"), Settings)
    assert settings.models.act_within == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["0h", "-1h", "1.5h", "48", "48 h", "48H", "999999d", "1w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("settings.yaml:2: models.act_within: must be a duration such as")):
        validate(parse_yaml(f"models:\n  act_within: {text}", "settings.yaml"), Settings)


@pytest.mark.parametrize("secret", ["hunter2", "pass word", "12345", "[a, b]", "{p: hunter2}", "true", "Abc-1"])
def test_a_secret_written_by_mistake_is_not_repeated(secret: str) -> None:
    text = f"mqtt: {{username: fleet, password_env: {secret}}}"
    with pytest.raises(ConfigError, match="must be the name of an environment variable") as caught:
        validate(parse_yaml(text, "settings.yaml"), Settings)
    assert not re.search(r"hunter2|pass word|12345|Abc-1", str(caught.value))
