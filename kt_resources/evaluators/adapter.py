"""lm-eval over a generation engine: every model of a line answers through the same few lines, GGUF included."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from kt_resources.evaluators.answers import Answer, AnswerCache
from kt_resources.generators.config import Sampling
from kt_resources.generators.engine import Completion, ScoringEngine
from kt_resources.generators.scoring import log_softmax_at

OnProgress = Callable[[int, int], None]

WINDOW = 1024
"""Longest stretch that is scored at once, in tokens; longer texts are scored in windows."""


class Question(NamedTuple):
    """What is asked: one prompt with its limits."""

    prompt: str
    max_new_tokens: int
    until: tuple[str, ...]

    @classmethod
    def of(cls, request: Instance) -> "Question":
        """The question in an lm-eval request."""
        prompt, options = request.args
        until = options.get("until") or ()
        until = (until,) if isinstance(until, str) else tuple(until)
        return cls(prompt, int(options["max_gen_toks"]), until)


class EngineLM(LM):
    """An lm-eval model over ``engine``.

    Answers already in ``cache`` are not asked for again; new ones are kept after every ``batches_kept`` batches, so
    that an evaluation that is killed goes on where it was.

    Args:
        tokenizer: the Hugging Face tokenizer whose chat template the model is asked with.
        batch_size: how many prompts the engine answers together.
    """

    batches_kept = 4

    def __init__(self, engine: ScoringEngine, tokenizer: Any, cache: AnswerCache, batch_size: int) -> None:
        super().__init__()
        self.engine, self.tokenizer, self.cache, self.batch_size = engine, tokenizer, cache, batch_size
        self.on_progress: OnProgress = lambda done, total: None

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval names the chat template by."""
        return str(getattr(self.tokenizer, "name_or_path", "tokenizer"))

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The model's own chat template, as Jinja text."""
        return self.tokenizer.chat_template

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as the model's own template writes them."""
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``; special tokens written out in it count as such, none is added."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy answers in the order of ``requests``, whatever sampling a task asks for.

        Prompts are asked in the order of their text: neighbours begin alike, and an engine reads that beginning once.
        """
        asked = [Question.of(request) for request in requests]
        waiting = [one for one in dict.fromkeys(asked) if self.cache.get(one.prompt, one.max_new_tokens) is None]
        done, size = len(set(asked)) - len(waiting), self.batch_size * self.batches_kept
        total = done + len(waiting)
        for limit in sorted({one.max_new_tokens for one in waiting}):
            group = sorted((one for one in waiting if one.max_new_tokens == limit), key=lambda one: one.prompt)
            for start in range(0, len(group), size):
                self._answer(group[start : start + size], limit, done, total)
                done += len(group[start : start + size])
        return [self.answer_to(one.prompt, one.max_new_tokens).text for one in asked]

    def answer_to(self, prompt: str, max_new_tokens: int) -> Answer:
        """The answer already given to ``prompt``; KeyError where there is none."""
        answer = self.cache.get(prompt, max_new_tokens)
        if answer is None:
            raise KeyError(prompt)
        return answer

    def _answer(self, group: Sequence[Question], max_new_tokens: int, done: int, total: int) -> None:
        """Ask the engine, and keep its answers; ``done`` of ``total`` were answered before."""
        greedy, started = Sampling(temperature=0, max_new_tokens=max_new_tokens), time.monotonic()
        answers = self.engine.generate(
            [self.encode(one.prompt) for one in group],
            1,
            greedy,
            on_progress=lambda answered, wanted, tokens: self.on_progress(done + answered, total),
        )
        each = round((time.monotonic() - started) / len(group), 4)
        for one, (completion,) in zip(group, answers, strict=True):
            answer = cut(completion, one.until).model_copy(update={"seconds": each})
            self.cache.put(one.prompt, max_new_tokens, answer)
        self.on_progress(done + len(group), total)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation after its context, and whether it is what greedy decoding would say.

        What several read, as choices of one token after one context do, is read once.
        """
        results: dict[int, tuple[float, bool]] = {}
        waiting: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for index, request in enumerate(requests):
            context, continuation = request.args
            head = self.encode(context) or [self._prefix()]
            tokens = self.encode(context + continuation) if context else [*head, *self.encode(continuation)]
            waiting.setdefault(tuple(tokens[:-1]), []).append((index, tokens[len(head) :]))
        asked = [(read, len(read) - max(len(targets) for _, targets in some)) for read, some in waiting.items()]
        for some, rows in zip(waiting.values(), self.engine.logits_each(asked), strict=True):
            for index, targets in some:
                logits = rows[len(rows) - len(targets) :]
                is_greedy = logits.argmax(axis=1).tolist() == targets
                results[index] = float(log_softmax_at(logits, targets).sum()), is_greedy
            self.on_progress(len(results), len(requests))
        return [results[index] for index in range(len(requests))]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of each whole text, every token once, in windows of :data:`WINDOW` tokens."""
        results = []
        for done, request in enumerate(requests, start=1):
            windows = get_rolling_token_windows(self.encode(request.args[0]), self._prefix(), WINDOW, 1)
            total = 0.0
            for context, predicted in map(make_disjoint_window, windows):
                logprobs = self.engine.token_logprobs([*context, *predicted])
                total += float(logprobs[-len(predicted) :].sum())
            results.append(total)
            self.on_progress(done, len(requests))
        return results

    def _prefix(self) -> int:
        """What stands before the first token: the beginning-of-text token, else the end-of-text token."""
        token = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if token is None else token


def cut(completion: Completion, until: Sequence[str]) -> Answer:
    """The completion up to the first of ``until``; cut there, it counts as stopped."""
    ends = [place for end in until if end and (place := completion.text.find(end)) >= 0]
    text = completion.text[: min(ends)] if ends else completion.text
    return Answer(text=text, stopped=bool(ends) or completion.finished, num_tokens=completion.num_tokens)
