"""A log line of any of our processes is one JSON object, whatever it is about."""

import json
import logging
import sys

from berth_api.json_logs import JsonFormatter


def line(record: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, object] = json.loads(text)
    return parsed


def a_record(message: str = "event", *, error: bool = False, **extra: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "berth", "levelno": logging.INFO, "levelname": "INFO", "msg": message})
    vars(record).update(extra)
    record.exc_info = sys.exc_info() if error else None
    return record


def test_a_line_has_event_level_time_and_logger() -> None:
    found = line(a_record("started"))
    assert (found["event"], found["level"], found["logger"]) == ("started", "info", "berth")
    assert str(found["time"]).endswith("+00:00")


def test_extra_fields_stand_beside_them() -> None:
    assert line(a_record(port=8080, subject="Model a/b"))["port"] == 8080


def test_what_json_does_not_know_becomes_text() -> None:
    assert line(a_record(path={1, 2}))["path"] == "{1, 2}"


def test_an_exception_stays_on_the_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        found = line(a_record(error=True))
    assert "ValueError: two\nlines" in str(found["exception"])
