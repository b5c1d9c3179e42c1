"""A client of OpenAI-compatible servers (vLLM, llama-server, Ollama, a hosted teacher)."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from kt_resources.errors import GenerationError
from kt_resources.generators.config import Sampling
from kt_resources.generators.draw import draw_seed
from kt_resources.generators.engine import Completion, OnProgress, Prompt

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which asking again may help."""


class OpenAiEngine:
    """Asks ``<url>/chat/completions``; ``url`` ends in ``/v1`` as a rule.

    Attributes:
        key_variable: environment variable that holds the key; no key is sent where it is unset.
        batch_size: requests under way at once.
        retries: further tries after a failed request, with doubling pauses from ``pause_s``.
    """

    def __init__(
        self, url: str, model: str, key_variable: str = "OPENAI_API_KEY", batch_size: int = 8, timeout_s: float = 120
    ) -> None:
        self.url, self.model, self.key_variable = url.rstrip("/"), model, key_variable
        self.batch_size, self.timeout_s = batch_size, timeout_s
        self.retries, self.pause_s = 4, 1.0

    def close(self) -> None:
        """Nothing is held."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        n: int,
        sampling: Sampling,
        first_index: int = 0,
        on_progress: OnProgress | None = None,
    ) -> list[list[Completion]]:
        bodies = {
            (place, index): self._body(prompt, sampling, draw_seed(sampling.seed, first_index + place, index))
            for place, prompt in enumerate(prompts)
            for index in range(n)
        }
        found: dict[tuple[int, int], Completion] = {}
        with ThreadPoolExecutor(self.batch_size) as pool:
            asked = {pool.submit(self._ask, body): key for key, body in bodies.items()}
            for done in as_completed(asked):
                found[asked[done]] = done.result()
                if on_progress:
                    on_progress(len(found), len(bodies), sum(answer.num_tokens for answer in found.values()))
        return [[found[place, index] for index in range(n)] for place in range(len(prompts))]

    def _body(self, prompt: Prompt, sampling: Sampling, seed: int) -> dict[str, Any]:
        messages = [message for message in prompt if isinstance(message, Mapping)]
        if len(messages) != len(prompt) or not messages:
            raise GenerationError("a server takes messages, not token ids", where="prompts")
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message["role"], "content": message["content"]} for message in messages],
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed & 0x7FFFFFFF,
        }
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.grammar is not None:
            body["grammar"] = sampling.grammar
        return body

    def _ask(self, body: dict[str, Any]) -> Completion:
        answer = self._post(body)
        try:
            choice = answer["choices"][0]
            text = choice["message"]["content"] or ""
        except (KeyError, IndexError, TypeError) as error:
            raise GenerationError("the server's answer holds no message", where=self.url) from error
        num_tokens = int((answer.get("usage") or {}).get("completion_tokens") or 0)
        return Completion(text, (), choice.get("finish_reason") == "stop", num_tokens)

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        """The server's answer; asks again after a failure that may pass."""
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.pause_s * 2 ** (attempt - 1))
            try:
                with urllib.request.urlopen(self._request(body), timeout=self.timeout_s) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                problem = f"{error.code} {error.reason}: {error.read()[:300].decode(errors='replace')}"
                if error.code not in RETRIED:
                    break
            except (OSError, ValueError) as error:
                problem = str(error)
        mend = f"see whether the server runs, knows {self.model!r} and accepts the key in {self.key_variable}"
        raise GenerationError(f"the server did not answer: {problem}", where=self.url, mend=mend)

    def _request(self, body: dict[str, Any]) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        return urllib.request.Request(f"{self.url}/chat/completions", json.dumps(body).encode(), headers)
