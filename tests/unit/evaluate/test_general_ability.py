import json

from kt_assets.evaluate.general_ability import probe_items, write_probe


def test_every_item_has_four_different_words_and_the_right_one_is_no_favourite():
    items = probe_items()
    assert len(items) == 100 == len({item["id"] for item in items})
    assert all(len(set(item["choices"])) == 4 for item in items)
    # Rotated: each of the four places holds the right word in 25 items.
    assert [sum(item["target"] == place for item in items) for place in range(4)] == [25] * 4


def test_the_right_word_is_the_one_written_first():
    france = next(item for item in probe_items() if item["text"] == "The capital of France is")
    canada = next(item for item in probe_items() if "north of the United States" in item["text"])
    assert france["choices"][france["target"]] == "Paris"
    assert canada["choices"][canada["target"]] == "Canada"


def test_lm_eval_itself_runs_the_folder(tmp_path):
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Knows(LM):
        """Knows the capitals and nothing else: there the first choice always looks likeliest."""

        def loglikelihood(self, requests):
            right = {item["text"]: " " + item["choices"][item["target"]] for item in probe_items()}
            return [
                (0.0 if "capital" in text and right[text] == word else -5.0 - requests.index(one) % 4, False)
                for one in requests
                for text, word in [one.args]
            ]

        def generate_until(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = generate_until

    assert write_probe(tmp_path) == 100
    loaded = TaskManager(include_path=str(tmp_path), include_defaults=False).load(["general_ability"])
    found = lm_eval.evaluate(Knows(), loaded, bootstrap_iters=0)
    capitals = [item for item in probe_items() if "capital" in item["text"]]
    by_luck = [item for item in probe_items() if item not in capitals and item["target"] == 0]
    assert len(capitals) == 5
    assert found["results"]["general_ability"]["acc,none"] == (len(capitals) + len(by_luck)) / 100
    first = json.loads((tmp_path / "items.jsonl").read_text().splitlines()[0])
    assert first["choices"][first["target"]] == "Paris"
