"""Chat templates in Ollama's language (Go's text/template), where one renders as the model's own does.

A model's own template is a Jinja program; Ollama reads another language. A template of Ollama's is given only where
it renders sample conversations as the model's does.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Messages = Sequence[Mapping[str, str]]

SYSTEM, USER, ANSWER, AGAIN = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And 3 + 3?"},
)
SAMPLES: tuple[Messages, ...] = ((USER,), (USER, ANSWER, AGAIN))
SYSTEM_SAMPLES: tuple[Messages, ...] = ((SYSTEM, USER), (SYSTEM, USER, ANSWER, AGAIN))


@dataclass(frozen=True)
class GoTemplate:
    """A template in Go's language, and the same in Python.

    Attributes:
        text: what stands in the Modelfile after TEMPLATE.
        render: messages → prompt, as Ollama would render ``text``.
    """

    text: str
    render: Callable[[Messages], str]


def ollama_template(render: Callable[[Messages], str], bos: str = "") -> str | None:
    """The Go template that renders as ``render`` does on the samples, or None where none is known.

    Samples with a system message are left out where the model's template refuses them.

    Args:
        render: the model's own template: messages → prompt, up to where the assistant answers.
        bos: text of the token that Ollama itself puts before every prompt; empty where there is none.
    """
    wanted = {}
    for sample in (*SAMPLES, *SYSTEM_SAMPLES):
        try:
            wanted[id(sample)] = (sample, render(sample).removeprefix(bos))
        except Exception:
            if sample in SAMPLES:
                return None
    first = wanted[id(SAMPLES[0])][1]
    for known in candidates(first):
        if all(known.render(sample) == prompt for sample, prompt in wanted.values()):
            return known.text
    return None


def candidates(prompt: str) -> list[GoTemplate]:
    """Templates of the families that are known; ``prompt`` is a rendered user message, for a default system prompt."""
    told = re.match(r"<\|im_start\|>system\n(.*?)<\|im_end\|>\n<\|im_start\|>user", prompt, re.DOTALL)
    gaps = (("[INST] ", "[/INST]", " "), ("[INST] ", " [/INST]", ""), ("[INST]", "[/INST]", ""))
    return [chatml(told[1] if told else None), llama3(), *(mistral(*gap) for gap in gaps), gemma()]


def chatml(default_system: str | None = None) -> GoTemplate:
    """ChatML: SmolLM2, Qwen2 and many others; ``default_system`` stands where no system message is given."""

    def render(messages: Messages) -> str:
        given = any(message["role"] == "system" for message in messages)
        default = [] if given or default_system is None else [{"role": "system", "content": default_system}]
        turns = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in [*default, *messages]]
        return "".join(turns) + "<|im_start|>assistant\n"

    head = "" if default_system is None else _CHATML_DEFAULT.replace("DEFAULT", default_system)
    return GoTemplate(head + _CHATML, render)


_CHATML_DEFAULT = """{{- if not .System }}<|im_start|>system
DEFAULT<|im_end|>
{{ end }}
"""

_CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""


def llama3() -> GoTemplate:
    """Llama 3's."""

    def render(messages: Messages) -> str:
        turns = [_LLAMA3_HEAD.format(turn["role"]) + f"{turn['content']}<|eot_id|>" for turn in messages]
        return "".join(turns) + _LLAMA3_HEAD.format("assistant")

    return GoTemplate(_LLAMA3, render)


_LLAMA3_HEAD = "<|start_header_id|>{}<|end_header_id|>\n\n"

_LLAMA3 = """{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}<|eot_id|>
{{- end }}<|start_header_id|>assistant<|end_header_id|>

"""


def mistral(before: str, after: str, gap: str) -> GoTemplate:
    """Mistral's: ``before`` user ``after`` ``gap`` assistant; a system message stands in the last user message."""

    def render(messages: Messages) -> str:
        system = "\n\n".join(turn["content"] for turn in messages if turn["role"] == "system")
        prompt = ""
        for index, turn in enumerate(messages):
            if turn["role"] == "user":
                told = f"{system}\n\n" if system and index == len(messages) - 1 else ""
                prompt += f"{before}{told}{turn['content']}{after}"
            elif turn["role"] == "assistant":
                prompt += f"{gap}{turn['content']}</s>"
        return prompt

    text = _MISTRAL.replace("BEFORE", before).replace("AFTER", after).replace("GAP", gap)
    return GoTemplate(text, render)


_MISTRAL = """{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}{{ "BEFORE" }}{{ if and $.System (eq (len (slice $.Messages $i)) 1) }}{{ $.System }}

{{ end }}{{ .Content }}{{ "AFTER" }}
{{- else if eq .Role "assistant" }}{{ "GAP" }}{{ .Content }}</s>
{{- end }}
{{- end }}"""


def gemma() -> GoTemplate:
    """Gemma's: the assistant is ``model``; a system message opens the first user message."""

    def render(messages: Messages) -> str:
        prompt, opened = "", False
        for turn in messages:
            if turn["role"] == "system":
                prompt, opened = f"{prompt}<start_of_turn>user\n{turn['content']}\n\n", True
            elif turn["role"] == "user":
                prompt += ("" if opened else "<start_of_turn>user\n") + f"{turn['content']}<end_of_turn>\n"
                opened = False
            else:
                prompt += f"<start_of_turn>model\n{turn['content']}<end_of_turn>\n"
        return prompt + "<start_of_turn>model\n"

    return GoTemplate(_GEMMA, render)


_GEMMA = """{{- $opened := false }}
{{- range .Messages }}
{{- if eq .Role "system" }}<start_of_turn>user
{{ .Content }}

{{ $opened = true }}
{{- else if eq .Role "user" }}{{ if not $opened }}<start_of_turn>user
{{ end }}{{ .Content }}<end_of_turn>
{{ $opened = false }}
{{- else }}<start_of_turn>model
{{ .Content }}<end_of_turn>
{{ end }}
{{- end }}<start_of_turn>model
"""


def modelfile(template: str | None, stops: Sequence[str], system: str | None) -> str:
    """Ollama's Modelfile for ``model.gguf`` beside it; sampling is left to the user."""
    parts: list[str] = ["FROM ./model.gguf"]
    if template is None:
        parts.append("# No TEMPLATE: Ollama takes the chat template that model.gguf embeds.")
    else:
        parts.append(f"TEMPLATE {_quoted(template)}")
    if system:
        parts.append(f"SYSTEM {_quoted(system)}")
    parts += [f'PARAMETER stop "{stop}"' for stop in stops]
    return "\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    """In a Modelfile's quotes; it knows no escapes, so three quotation marks in a row become apostrophes."""
    safe = text.replace('"""', "'''")
    return f'"""{safe}"""'
