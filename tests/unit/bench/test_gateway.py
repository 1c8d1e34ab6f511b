"""The values of the gateway measurement: the body, the answer, the proxies' configuration."""

import json
from pathlib import Path

from bench.gateway import DIRECT, chat_answer, chat_body, with_added_latency
from bench.peers.nginx import proxy_configuration, upstream_configuration


def test_the_chat_body_is_a_chat_request_of_exactly_one_kilobyte() -> None:
    assert len(chat_body().encode()) == 1024
    assert json.loads(chat_body())["messages"][0]["role"] == "user"


def test_the_answer_can_stand_in_an_nginx_configuration() -> None:
    assert "'" not in chat_answer()
    assert "$" not in chat_answer()
    assert json.loads(chat_answer())["object"] == "chat.completion"


def test_a_proxy_adds_what_it_takes_longer_than_the_upstream_of_the_same_round() -> None:
    alone = {"quiet_p50_milliseconds": 0.1, "quiet_p99_milliseconds": 0.5}
    ours = {"quiet_p50_milliseconds": 0.25, "quiet_p99_milliseconds": 0.4}
    found = with_added_latency({DIRECT: alone, "ours": ours})
    assert round(found["ours"]["added_p50_milliseconds"], 9) == 0.15
    assert round(found["ours"]["added_p99_milliseconds"], 9) == -0.1


def test_nginx_has_one_worker_keeps_connections_and_buffers_no_answer() -> None:
    text = proxy_configuration(folder=Path("/f"), port=1, upstream_port=2)
    for line in (
        "worker_processes 1;",
        "keepalive 64;",
        "proxy_http_version 1.1;",
        "proxy_buffering off;",
        "access_log off;",
    ):
        assert line in text
    assert text.count("{") == text.count("}")


def test_the_upstream_answers_from_memory() -> None:
    text = upstream_configuration(folder=Path("/f"), port=1, answer='{"a": 1}')
    assert "return 200 '{\"a\": 1}';" in text
    assert text.count("{") == text.count("}")
