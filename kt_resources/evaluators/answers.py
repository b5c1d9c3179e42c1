"""Answers that survive a crash, and are known to the next evaluation: one JSON line each."""

import hashlib
import json
from pathlib import Path

from kt_resources.strict import Strict


class Answer(Strict):
    """What a model said.

    Attributes:
        stopped: it ended itself (stop token or a task's ``until``), rather than at the token limit.
        num_tokens: tokens generated.
        seconds: its share of the time that it and those beside it took.
    """

    text: str
    stopped: bool
    num_tokens: int
    seconds: float = 0.0


class AnswerCache:
    """The answers given so far, by prompt and length limit; a line cut off by a crash is asked again."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._answers: dict[str, Answer] = {}
        self._wanted: set[str] = set()
        file.parent.mkdir(parents=True, exist_ok=True)
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                row = json.loads(line)
                self._answers[row["key"]] = Answer(**row["answer"])
            except (ValueError, KeyError, TypeError):
                continue
        self._known = set(self._answers)

    def get(self, prompt: str, max_new_tokens: int) -> Answer | None:
        """The answer, where there is one already."""
        key = self._key(prompt, max_new_tokens)
        self._wanted.add(key)
        return self._answers.get(key)

    def spared_seconds(self) -> float:
        """What the answers took that were asked for, and were there when this cache was opened."""
        return sum(self._answers[key].seconds for key in self._wanted & self._known)

    def put(self, prompt: str, max_new_tokens: int, answer: Answer) -> None:
        """Keep an answer, on disk at once."""
        key = self._key(prompt, max_new_tokens)
        self._answers[key] = answer
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" * self._cut_off() + self._line(key))

    def forget_others(self) -> None:
        """Keep only what was asked for since this cache was opened: questions of old rows would gather."""
        whole = self.file.with_suffix(".part")
        whole.write_text("".join(self._line(key) for key in self._answers if key in self._wanted), encoding="utf-8")
        whole.replace(self.file)

    def _line(self, key: str) -> str:
        return json.dumps({"key": key, "answer": self._answers[key].model_dump()}) + "\n"

    def _cut_off(self) -> bool:
        """Whether the file ends in the middle of a line."""
        if not self.file.exists() or not self.file.stat().st_size:
            return False
        with self.file.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) != b"\n"

    @staticmethod
    def _key(prompt: str, max_new_tokens: int) -> str:
        return hashlib.sha256(f"{max_new_tokens}\x1f{prompt}".encode()).hexdigest()
