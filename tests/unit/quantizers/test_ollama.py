"""Ollama's template is given only where it renders as the model's own; both languages are evaluated here."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jinja2
import pytest

from kt_resources.quantizers.ollama import (
    SAMPLES,
    SYSTEM_SAMPLES,
    GoTemplate,
    chatml,
    gemma,
    llama3,
    mistral,
    modelfile,
    ollama_template,
)
from kt_resources.trainers.tiny import CHAT_TEMPLATE

LLAMA3 = (
    "{% for m in messages %}{{ (bos_token if loop.first else '') + '<|start_header_id|>' + m.role + '<|end_header_id|>"
    "\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}"
    "{% else %}{% set turns = messages %}{% endif %}{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + ((system + '\n\n') if system is defined and loop.last else '') + m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content"
    " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PLAIN_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)


def jinja(text: str, bos: str = "<s>") -> Callable[[Any], str]:
    def refuse(message: str) -> None:
        raise ValueError(message)

    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(text)
    return lambda messages: template.render(
        messages=messages, add_generation_prompt=True, bos_token=bos, raise_exception=refuse
    )


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (PLAIN_CHATML, chatml()),
        (CHAT_TEMPLATE, chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face")),
        (LLAMA3, llama3()),
        (MISTRAL, mistral("[INST] ", "[/INST]", " ")),
        (GEMMA, gemma()),
    ],
)
def test_family_is_known_by_what_it_renders(own: str, expected: GoTemplate) -> None:
    assert ollama_template(jinja(own), "<s>") == expected.text


@pytest.mark.parametrize(
    "own",
    [
        PLAIN_CHATML.replace("m.content", "m.content | upper"),  # changes what is said
        PLAIN_CHATML.replace("assistant\n", "assistant\n<think>\n"),  # begins the answer
        LLAMA3.replace("{{ (bos_token", "{{ '<date>' + (bos_token"),  # says more
        "{{ raise_exception('no') }}",
        "{{ messages[0].content }}",
    ],
)
def test_other_templates_are_left_to_the_file(own: str) -> None:
    assert ollama_template(jinja(own), "<s>") is None


def test_a_token_that_ollama_does_not_put_before_the_prompt_must_be_rendered() -> None:
    assert ollama_template(jinja(LLAMA3), bos="") is None


@pytest.mark.parametrize(
    "template",
    [chatml(), chatml("Be kind."), llama3(), mistral("[INST] ", "[/INST]", " "), mistral("[INST]", "[/INST]", "")],
)
@pytest.mark.parametrize("sample", [*SAMPLES, *SYSTEM_SAMPLES])
def test_go_text_renders_as_its_python(template: GoTemplate, sample: Any) -> None:
    assert go(template.text, sample) == template.render(sample)


@pytest.mark.parametrize("sample", [*SAMPLES, *SYSTEM_SAMPLES])
def test_gemmas_go_text_renders_as_its_python(sample: Any) -> None:
    assert go(gemma().text, sample) == gemma().render(sample)


def test_modelfile() -> None:
    found = modelfile("{{ .Prompt }}", ["<|im_end|>", "</s>"], 'Say """no""".')
    assert found == (
        'FROM ./model.gguf\nTEMPLATE """{{ .Prompt }}"""\n'
        "SYSTEM \"\"\"Say '''no'''.\"\"\"\n"
        'PARAMETER stop "<|im_end|>"\nPARAMETER stop "</s>"\n'
    )


def test_modelfile_without_template_says_why_and_leaves_sampling_alone() -> None:
    found = modelfile(None, ["</s>"], None)
    assert "TEMPLATE " not in found.replace("No TEMPLATE", "")
    assert "# No TEMPLATE: Ollama takes the chat template that model.gguf embeds." in found
    assert "SYSTEM" not in found and "temperature" not in found


# -- as much of Go's text/template as the templates use


def go(text: str, messages: Sequence[dict[str, str]]) -> str:
    """Render ``text`` as Go would: ``{{-`` and ``-}}`` trim white space; if, range, variables, eq, and, not, len."""
    parts = re.split(r"(\s*\{\{-.*?-?\}\}|\{\{.*?\}\})", text)
    tokens = [("act", part.strip()[2:-2].strip("- ")) if "{{" in part else ("text", part) for part in parts]
    system = "\n\n".join(turn["content"] for turn in messages if turn["role"] == "system")
    nodes, rest = parse(tokens)
    assert not rest
    return render(nodes, {"Messages": messages, "System": system}, {"$": {"Messages": messages, "System": system}})


def parse(tokens: list[tuple[str, str]]) -> tuple[list[Any], list[tuple[str, str]]]:
    nodes: list[Any] = []
    while tokens:
        kind, body = tokens[0]
        if kind == "act" and (body == "end" or body.startswith("else")):
            return nodes, tokens
        tokens = tokens[1:]
        if kind == "act" and body.split()[0] in ("if", "range"):
            node, tokens = branch(body, tokens)
            nodes.append(node)
        else:
            nodes.append((kind, body))
    return nodes, tokens


def branch(head: str, tokens: list[tuple[str, str]]) -> tuple[Any, list[tuple[str, str]]]:
    """(head, body, what else), and the tokens after its end."""
    body, tokens = parse(tokens)
    closing, tokens = tokens[0][1], tokens[1:]
    if closing == "end":
        return (head, body, []), tokens
    if closing.startswith("else if"):
        inner, tokens = branch(closing.removeprefix("else "), tokens)
        return (head, body, [inner]), tokens
    other, tokens = parse(tokens)
    return (head, body, other), tokens[1:]


def render(nodes: list[Any], dot: Any, names: dict[str, Any]) -> str:
    told = ""
    for node in nodes:
        if node[0] == "text":
            told += node[1]
        elif node[0] == "act":
            assigned = re.match(r"(\$\w+) :?= (.*)", node[1])
            if assigned:
                names[assigned[1]] = value(assigned[2], dot, names)
            else:
                told += str(value(node[1], dot, names))
        elif node[0].startswith("if "):
            told += render(node[1] if value(node[0][3:], dot, names) else node[2], dot, names)
        else:
            for index, turn in enumerate(value(node[0].split()[-1], dot, names)):
                names["$i"] = index
                told += render(node[1], {"Role": turn["role"], "Content": turn["content"]}, names)
    return told


def value(expression: str, dot: Any, names: dict[str, Any]) -> Any:
    words = re.findall(r'"[^"]*"|[()]|[^\s()]+', expression)
    found, rest = term(words, dot, names) if words[0] not in FUNCTIONS else call(words, dot, names)
    assert not rest, rest
    return found


def term(words: list[str], dot: Any, names: dict[str, Any]) -> tuple[Any, list[str]]:
    word, rest = words[0], words[1:]
    if word == "(":
        found, rest = call(rest, dot, names)
        return found, rest[1:]
    if word[0] == '"':
        return word[1:-1], rest
    if word.isdigit() or word in ("true", "false"):
        return (int(word) if word.isdigit() else word == "true"), rest
    if word.startswith("$."):
        return names["$"][word[2:]], rest
    return (names[word] if word[0] == "$" else dot[word[1:]]), rest


def call(words: list[str], dot: Any, names: dict[str, Any]) -> tuple[Any, list[str]]:
    function, rest, arguments = FUNCTIONS[words[0]], words[1:], []
    while rest and rest[0] != ")":
        argument, rest = term(rest, dot, names)
        arguments.append(argument)
    return function(*arguments), rest


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "not": lambda one: not one,
    "eq": lambda one, other: one == other,
    "and": lambda one, other: one and other,
    "len": len,
    "slice": lambda items, start: items[start:],
}
