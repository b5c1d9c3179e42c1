"""The client against a small server of the same interface."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kt_resources.errors import GenerationError
from kt_resources.generators.config import Sampling
from kt_resources.generators.openai import OpenAiEngine

CHATS = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]


class Server(ThreadingHTTPServer):
    """Answers with the prompt and the seed; fails first where ``failures`` says so."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[dict[str, Any], dict[str, str], str]] = []
        self.failures: list[int] = []
        self.answer: Any = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((body, dict(self.headers), self.path))
        status = self.server.failures.pop(0) if self.server.failures else 200
        text = f"{body['messages'][-1]['content']}/{body['seed']}"
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer = self.server.answer or {"choices": [choice], "usage": {"completion_tokens": 4}}
        raw = json.dumps(answer if status == 200 else {"error": "no such model"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def engine(server: Server) -> OpenAiEngine:
    engine = OpenAiEngine(f"http://127.0.0.1:{server.server_address[1]}/v1/", "teacher", "KT_TEST_KEY")
    engine.pause_s = 0.01
    return engine


def test_every_prompt_gets_its_own_answers(engine: OpenAiEngine, server: Server) -> None:
    found = engine.generate(CHATS, 2, Sampling(temperature=0.5, top_k=5, max_new_tokens=9, seed=3))
    assert [[answer.text.split("/")[0] for answer in some] for some in found] == [
        ["one"] * 2,
        ["two"] * 2,
        ["three"] * 2,
    ]
    assert len({body["seed"] for body, _, _ in server.requests}) == 6
    assert found[0][0].finished and found[0][0].num_tokens == 4
    body, _, path = server.requests[0]
    sent = {name: body[name] for name in ("model", "max_tokens", "temperature", "top_p", "top_k")}
    assert sent == {"model": "teacher", "max_tokens": 9, "temperature": 0.5, "top_p": 0.95, "top_k": 5}
    assert path == "/v1/chat/completions"
    assert engine.generate(CHATS, 2, Sampling(temperature=0.5, top_k=5, max_new_tokens=9, seed=3)) == found


def test_key_comes_from_the_environment(engine: OpenAiEngine, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.generate(CHATS[:1], 1, Sampling())
    monkeypatch.setenv("KT_TEST_KEY", "a-key")
    engine.generate(CHATS[:1], 1, Sampling())
    assert [headers.get("Authorization") for _, headers, _ in server.requests] == [None, "Bearer a-key"]


def test_asks_again_after_a_failure_that_may_pass(engine: OpenAiEngine, server: Server) -> None:
    server.failures = [503, 429]
    [[answer]] = engine.generate(CHATS[:1], 1, Sampling())
    assert answer.text.startswith("one/") and len(server.requests) == 3


def test_gives_up_after_its_tries(engine: OpenAiEngine, server: Server) -> None:
    server.failures = [500] * 9
    with pytest.raises(GenerationError, match="500"):
        engine.generate(CHATS[:1], 1, Sampling())
    assert len(server.requests) == 1 + engine.retries


def test_a_mistake_is_told_at_once(engine: OpenAiEngine, server: Server) -> None:
    server.failures = [404]
    with pytest.raises(GenerationError, match="no such model"):
        engine.generate(CHATS[:1], 1, Sampling())
    assert len(server.requests) == 1


def test_an_answer_without_a_message_is_told(engine: OpenAiEngine, server: Server) -> None:
    server.answer = {"choices": []}
    with pytest.raises(GenerationError, match="holds no message"):
        engine.generate(CHATS[:1], 1, Sampling())


def test_no_server(engine: OpenAiEngine) -> None:
    engine.url, engine.retries = "http://127.0.0.1:9/v1", 0
    with pytest.raises(GenerationError, match="did not answer"):
        engine.generate(CHATS[:1], 1, Sampling())


def test_token_ids_cannot_be_asked(engine: OpenAiEngine) -> None:
    with pytest.raises(GenerationError, match="takes messages"):
        engine.generate([[1, 2, 3]], 1, Sampling())
