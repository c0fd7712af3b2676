"""An X-ray as files, figures and charts: complete, of bounded size, closed to what stands in texts."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from bilstm.errors import BilstmError, ParameterError
from bilstm.formatting import clipped, unique
from bilstm.plotting.charts import place
from bilstm.plotting.figures import drawable
from bilstm.xray import panels, x_ray
from bilstm.xray.pictures import charts, contribution_charts
from tests.compare import assert_close
from tests.xray import models
from tests.xray.models import EXAMPLES

SIGNS = "good <b>bad</b> 好 😀 $5 & $6 </script> good"


@pytest.fixture(scope="module", params=list(EXAMPLES))
def found(request):
    model, data = EXAMPLES[request.param]()
    return x_ray(model, data, outputs=4)


def test_every_form_can_be_written(found, tmp_path):
    for ending in ("npz", "json", "html", "png", "svg", "pdf"):
        found.save(tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").stat().st_size > 500


def test_arrays_hold_everything(found, tmp_path):
    found.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as kept:
        assert_close(kept["forget_gate"], found.gates.forget_gate)
        assert_close(kept["half_life"], found.half_life)
        assert kept["steps"].tolist() == found.steps
        assert str(kept["prediction"]) == found.prediction
        for number, one in enumerate(found.contributions):
            assert_close(kept["output_amount"][number], one.amount)
            assert kept["output_name"][number] == one.output


def test_json_holds_all_but_gates_in_six_digits(found, tmp_path):
    found.save(tmp_path / "x.json")
    kept = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert kept["prediction"] == found.prediction
    assert_close([one["value"] for one in kept["contributions"]], [one.value for one in found.contributions], rtol=1e-5)
    assert_close(kept["contributions"][0]["amount"], found.contributions[0].amount, rtol=1e-5)
    assert ("transitions" in kept) == (found.transitions is not None)


def test_charts_are_small_and_say_what_to_see(found):
    for chart in charts(found):
        assert len(place(chart)) < 230_000, chart.title
        assert chart.note.rstrip().endswith(".")
        assert chart.title
        for trace in chart.figure["data"]:
            if trace["type"] == "heatmap":
                assert len(trace["z"]) == len(trace["y"])
                assert len(trace["z"][0]) == len(trace["x"]) == len(set(trace["x"]))


def test_a_menu_shows_one_choice_and_hides_the_others(found):
    for chart in charts(found):
        for menu in chart.figure["layout"].get("updatemenus", []):
            shown = np.array([button["args"][0]["visible"] for button in menu["buttons"]])
            assert shown.shape[1] == len(chart.figure["data"])
            assert_close(shown.sum(axis=0), np.ones(shown.shape[1], dtype=int))
            assert [trace["visible"] for trace in chart.figure["data"]] == shown[0].tolist()


def test_long_sound_is_thinned_and_the_note_says_so(monkeypatch):
    monkeypatch.setattr("bilstm.xray.pictures.MOST_BLOCKS", 5)
    found = x_ray(models.transcriber(), models.sounds(1), outputs=2)
    chart = charts(found)[0]
    assert f"{len(found.steps)} steps are shown as 5 blocks" in chart.note
    whole = np.stack([one.amount.sum(axis=1) for one in found.contributions])
    assert_close(np.sum(chart.figure["data"][0]["z"], axis=1), whole.sum(axis=1), rtol=0.01, atol=0.05)


def test_markup_in_texts_stays_text():
    found = x_ray(models.texts(), [SIGNS])
    page = found.page()
    body = page[page.index("<body>") :]
    outside = re.sub(r'<script type="application/json">.*?</script>', "", body, flags=re.DOTALL)
    assert "<b>" not in outside
    assert "</script" not in outside
    assert "&lt;" in outside
    assert not re.search(r'(src|href)="http', body)
    labels = charts(found)[0].figure["data"][0]["x"]
    assert not any("<" in label for label in labels)


def test_figures_can_be_drawn_whatever_the_signs(tmp_path):
    found = x_ray(models.texts(), [SIGNS])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.save(tmp_path / "x.png")
        x_ray(models.tagger(), [SIGNS]).save(tmp_path / "y.svg")


def test_signs_without_a_font_are_replaced_and_dollars_are_no_mathematics():
    assert drawable("a $ b") == r"a \$ b"
    assert drawable("\U000f0000") == "▯"


def test_words_that_come_twice_are_two_columns():
    assert len(set(unique(["a", "b", "a", "a"]))) == 4
    assert clipped("x" * 50, 10) == "x" * 9 + "…"


def test_columns_beyond_the_largest_are_one_bar(monkeypatch):
    monkeypatch.setattr("bilstm.xray.panels.TOP", 2)
    found = x_ray(*EXAMPLES["regressor"]())
    one = found.contributions[0]
    panel = panels.columns(found, one)
    assert panel.y.labels[-1] == "2 other columns"
    assert_close(panel.marks[0].amounts.sum(), one.amount.sum(), atol=1e-9)


def test_of_very_many_columns_the_largest_are_rows_and_the_others_one():
    found = x_ray(*EXAMPLES["forecaster"]())
    amounts = np.random.default_rng(0).normal(size=(len(found.steps), 200)) * np.linspace(2, 1, 200)
    one = replace(found.contributions[0], amount=amounts)
    wide = replace(found, features=[f"c{k}" for k in range(200)], contributions=[one])
    *_, chart = contribution_charts(wide)
    (heat,) = chart.figure["data"]
    assert len(heat["y"]) == 80
    assert heat["y"][-1] == "121 others"
    assert "The 79 columns that matter most are shown, the other 121 as one." in chart.note
    largest = int(np.abs(amounts).sum(axis=0).argmax())
    assert_close(heat["z"][heat["y"].index(f"c{largest}")], amounts[:, largest], rtol=0.01)
    assert_close(np.sum(heat["z"], axis=0), amounts.sum(axis=1), rtol=0.02, atol=0.2)


def test_notes_and_axes_hold_whichever_output_is_chosen():
    (chart,) = contribution_charts(x_ray(*EXAMPLES["regressor"]()))
    found = x_ray(*EXAMPLES["regressor"]())
    for one in found.contributions:
        assert f"{one.output} {one.baseline:.4g} → {one.value:.4g}" in chart.note
    assert chart.note.startswith("What each column of this row added to the chosen output.")
    assert chart.figure["layout"]["xaxis"]["title"]["text"] == "added, in the unit of each output"


def test_one_frame_of_sound_without_a_character_can_be_drawn():
    found = x_ray(models.transcriber(), models.sounds(1), outputs=1)
    gates = type(found.gates)(*(part[:, :, :1] for part in found.gates))
    silent = replace(found, steps=found.steps[:1], inputs=found.inputs[:1], gates=gates, contributions=[])
    assert len(silent.plot().axes) > 4


def images(figure):
    return [image.get_array() for axes in figure.axes for image in axes.get_images()]


def test_figures_show_every_gate_of_a_layer(found):
    shown = images(found.plot(what="gates", layer=0))
    assert len(shown) == 6 * found.gates.hidden.shape[1]
    order = np.argsort(-found.half_life[0, 0], kind="stable")
    for picture, name in zip(shown[::2], panels.GATES, strict=True):
        assert_close(picture, getattr(found.gates, name)[0, 0][:, order].T)


def test_figures_show_memory_and_transitions(found):
    lives, dead, *_ = found.plot(what="memory").axes
    assert_close(np.sort(lives.lines[0].get_ydata()), np.clip(np.sort(found.half_life[0, 0]), 1e-2, 1e4))
    assert [bar.get_width() for bar in dead.patches] == found.dead.sum(axis=2).ravel().tolist()
    if found.transitions is None:
        with pytest.raises(ParameterError, match="expected a model with a CRF"):
            found.plot(what="transitions")
        return
    (picture,) = images(found.plot(what="transitions"))
    matrix = found.transitions[1]
    assert_close(picture[:-1, :-1], np.where(np.isfinite(matrix), matrix, np.nan))


def test_a_figure_that_there_is_not_is_an_error():
    found = x_ray(models.tagger(), ["Ann"])
    with pytest.raises(ParameterError, match=r"what to be one of overview, gates, memory, transitions, got 'gate'"):
        found.plot(what="gate")
    with pytest.raises(ParameterError, match="expected layer from -1 to 0, got 1"):
        found.plot(what="gates", layer=1)


def test_every_title_has_the_signs_of_chinese(tmp_path):
    found = replace(x_ray(models.texts(), ["好"]), title="电影很好", prediction="正面")
    one = replace(found.contributions[0], output="正面", unit="对数")
    found = replace(found, contributions=[one])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for what in ("overview", "gates", "memory"):
            found.plot(what=what).savefig(tmp_path / f"{what}.png")


def test_an_x_ray_without_outputs_can_be_shown(tmp_path):
    silent = replace(x_ray(models.transcriber(), models.sounds(1), outputs=1), contributions=[])
    for ending in ("npz", "json", "html", "png"):
        silent.save(tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").stat().st_size > 500


def test_what_cannot_be_written_is_an_error(tmp_path):
    found = x_ray(models.tagger(), ["Ann"])
    with pytest.raises(ParameterError, match=r"ends in \.html"):
        found.save(tmp_path / "x.doc")
    for ending in ("html", "npz", "json", "png"):
        with pytest.raises(BilstmError, match="Cannot write"):
            found.save(tmp_path / "nowhere" / f"x.{ending}")
