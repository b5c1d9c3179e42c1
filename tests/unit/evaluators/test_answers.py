from kt_resources.evaluators.answers import Answer, AnswerCache

ANSWER = Answer(text="vier\n#### 4", stopped=True, num_tokens=6)


def test_an_answer_outlives_the_program(tmp_path):
    AnswerCache(tmp_path / "a.jsonl").put("2+2?", 16, ANSWER)
    again = AnswerCache(tmp_path / "a.jsonl")
    assert again.get("2+2?", 16) == ANSWER
    assert again.get("2+2?", 32) is None
    assert again.get("2+3?", 16) is None


def test_a_line_cut_off_by_a_kill_is_asked_again_and_spoils_nothing(tmp_path):
    file = tmp_path / "a.jsonl"
    cache = AnswerCache(file)
    cache.put("first", 16, ANSWER)
    cache.put("second", 16, ANSWER)
    file.write_text(file.read_text()[:-20])
    resumed = AnswerCache(file)
    assert resumed.get("first", 16) == ANSWER
    assert resumed.get("second", 16) is None
    resumed.put("third", 16, ANSWER)
    assert AnswerCache(file).get("third", 16) == ANSWER
