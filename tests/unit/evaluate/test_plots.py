import base64

from kt_assets.evaluate.plots import curve_charts, curve_markdown

ROWS = [{"step": step, "loss": 2.0 / step, "kl": None, "reward": float("nan")} for step in range(1, 30)]


def test_the_curve_is_a_small_png_inside_markdown():
    markdown = curve_markdown([*ROWS, {"step": 30, "eval_loss": 0.5}, {"step": 31, "eval_loss": 0.4}])
    head, _, data = markdown.partition("base64,")
    assert head == "![loss by step](data:image/png;"
    assert base64.b64decode(data[:-1]).startswith(b"\x89PNG")
    assert len(markdown) < 100_000


def test_four_long_noisy_charts_stay_below_100_kb():
    names = ("loss", "eval_loss", "reward", "kl", "completion_length")
    rows = [{"step": step} | {name: (step * 7919 % 101) / 7 for name in names} for step in range(2000)]
    assert len(curve_markdown(rows)) < 100_000


def test_only_what_was_logged_twice_as_a_number_is_drawn():
    assert curve_charts(ROWS) == {"loss": {"loss": ([row["step"] for row in ROWS], [row["loss"] for row in ROWS])}}
    assert curve_charts(ROWS[:1]) == {}
    assert "no curve" in curve_markdown(ROWS[:1])
