"""What rows may be, what is answered, and that a row's answer is its own: nobody else's rows change a bit of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import polars as pl
import pytest

import bilstm
from bilstm.data.encoders import Column
from bilstm.errors import DataWarning, record_warnings, warn
from bilstm.server.errors import RequestError
from bilstm.server.formats import inputs
from bilstm.server.formats.values import Field, Record
from tests.compare import assert_close
from tests.server.asgi import call
from tests.server.made import MODELS, load_frame, rows_of, sound_file
from tests.speech import RATE


def predicted(models, name, rows):
    return asyncio.run(models.get(name).predict(rows))


@pytest.mark.parametrize("name", MODELS)
def test_a_row_is_answered_with_the_same_bytes_alone_and_among_63_others(models, name):
    format = models.get(name).format
    count = 64 if name not in ("load", "count") else 12  # each series is forecast by itself
    prepared = format.prepare(format.check(rows_of(name, count)))
    together = format.predict(prepared)
    for row, answer in zip(prepared, together, strict=True):
        assert orjson.dumps(format.predict([row])[0]) == orjson.dumps(answer)


def test_answers_are_what_the_estimators_predict(models, paths):
    rows = rows_of("table", 9)
    frame = pl.DataFrame(rows, schema={"rooms": pl.Float64, "age": pl.Float64, "town": pl.String})
    found = predicted(models, "table", rows)
    expected = bilstm.load(paths["table"]).predict(frame)
    assert_close(np.array([[one["values"][k] for k in ("price", "rent")] for one in found]), expected)

    rows = rows_of("steps", 9)
    model = bilstm.load(paths["steps"])
    found = predicted(models, "steps", rows)
    chances = model.predict_proba([np.array(row) for row in rows])
    assert [one["label"] for one in found] == model.predict([np.array(row) for row in rows]).tolist()
    assert_close(np.array([list(one["probabilities"].values()) for one in found]), chances, rtol=1e-6)
    assert_close(np.array([one["probability"] for one in found]), chances.max(axis=1), rtol=1e-6)

    rows = rows_of("text", 9)
    assert [one["label"] for one in predicted(models, "text", rows)] == bilstm.load(paths["text"]).predict(
        rows
    ).tolist()
    assert [one["labels"] for one in predicted(models, "topics", rows)] == bilstm.load(paths["topics"]).predict(rows)


def test_a_tagger_answers_words_tags_their_probabilities_and_entities(models, paths):
    rows = ["Ann is in Rome.", "", "王在北京", ["Ann", "is in", "Rome"]]
    found = predicted(models, "names", rows)
    model = bilstm.load(paths["names"])
    for row, one in zip(rows, found, strict=True):
        if not one["words"]:
            assert one == {"words": [], "tags": [], "probabilities": [], "entities": []}
            continue
        assert one["tags"] == model.predict([row])[0]
        best = model.predict_proba([row])[0][np.arange(len(one["tags"])), np.searchsorted(model.classes_, one["tags"])]
        assert_close(np.array(one["probabilities"]), best, rtol=1e-6)
        assert [entity["text"] for entity in one["entities"]] == [entity.text for entity in model.entities([row])[0]]
        text = row if isinstance(row, str) else " ".join(row)
        assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in one["entities"])


def test_a_forecaster_goes_on_from_its_training_or_from_newer_steps(models, paths):
    model = bilstm.load(paths["load"])
    (known,) = predicted(models, "load", [None])
    with pytest.warns(DataWarning, match="known ahead"):
        expected = model.predict()
    assert [step["series"] for step in known["steps"]] == expected["station"].to_list()
    assert_close(
        np.array([step["values"]["load"]["value"] for step in known["steps"]]), expected["predicted_load"].to_numpy()
    )
    newer = load_frame(140).filter(pl.col("station") == "a")
    (found,) = predicted(models, "load", [newer.to_dicts()])
    with pytest.warns(DataWarning, match="known ahead"):
        expected = model.predict(newer)
    assert [step["time"] for step in found["steps"]] == expected["hour"].dt.to_string("iso").to_list()
    for side in ("low_80", "high_80", "low_95", "high_95"):
        came = np.array([step["values"]["load"][side] for step in found["steps"]])
        assert_close(came, expected[f"load_{side}"].to_numpy())
    assert any("known ahead" in note for note in found["notes"])


def test_notes_of_a_forecast_are_its_own_whatever_other_threads_do_with_warnings(models, monkeypatch):
    """As an X-ray or a report does beside it, which begins after the forecast and changes all filters."""
    answers = models.get("load").format.outputs
    alone = answers.predict([None])[0]["notes"]
    begun, ignoring, done = threading.Event(), threading.Event(), threading.Event()
    predict = answers.estimator.predict

    def interrupted(series):
        begun.set()
        assert ignoring.wait(60)
        return predict(series)

    monkeypatch.setattr(answers.estimator, "predict", interrupted)

    def report():
        assert begun.wait(60)
        with warnings.catch_warnings(record=True) as caught, record_warnings(show=False) as messages:
            warnings.simplefilter("ignore")
            warn("a note of the report")
            ignoring.set()
            assert done.wait(60)
        return messages, caught

    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(report)
        found = answers.predict([None])[0]["notes"]
        done.set()
        assert beside.result(60) == (["a note of the report"], [])
    assert found == alone
    assert len(found) > 0


def test_a_transcriber_answers_text_words_and_what_is_odd(models, paths):
    sounds = rows_of("digits", 3)
    found = predicted(models, "digits", [*sounds, sound_file(0.01)])
    assert [one["text"] for one in found[:3]] == bilstm.load(paths["digits"]).predict(sounds)
    assert found[3] == {"text": "", "confidence": 0.0, "words": [], "note": found[3]["note"]}
    assert "too short" in found[3]["note"]


@pytest.mark.parametrize(
    "name, row, field, message",
    [
        ("table", [1, 2], "rows[1]", "expected an object with a value for each column, got a list"),
        ("table", {"rooms": 1, "age": 2}, "rows[1]", "expected a value of 'town', got none"),
        ("table", {"rooms": "6", "age": 2, "town": "a"}, "rows[1].rooms", "expected a number, got '6'"),
        ("table", {"rooms": True, "age": 2, "town": "a"}, "rows[1].rooms", "expected a number, got True"),
        ("table", {"rooms": 1e300, "age": 2, "town": "a"}, "rows[1].rooms", "expected a number from -"),
        ("table", {"rooms": 10**400, "age": 2, "town": "a"}, "rows[1].rooms", "expected a number from -"),
        ("table", {"rooms": 1, "age": 2, "town": ["a"]}, "rows[1].town", "expected text or a number, got a list"),
        ("table", {"rooms": 1, "age": 2, "town": "x" * 1001}, "rows[1].town", "expected at most 1000 characters"),
        ("steps", [], "rows[1]", "expected a sequence of at least one step, got none"),
        ("steps", {"x0": 1, "x1": 2}, "rows[1]", "expected a list of steps, got an object"),
        ("steps", [[1, 2], [1]], "rows[1][1]", "expected 2 values (x0, x1), got 1"),
        ("steps", [[1, 2], [1, None], ["x", 1]], "rows[1][2][0]", "expected a number, got 'x'"),
        ("steps", [[0, 0]] * 10_001, "rows[1]", "expected at most 10000 steps or words in a row, got 10001"),
        ("text", 3, "rows[1]", "expected a text or a list of words, got a number"),
        ("text", None, "rows[1]", "expected a text or a list of words, got null"),
        ("text", ["a", 3], "rows[1][1]", "expected a word, got a number"),
        ("text", ["a", ""], "rows[1][1]", "expected a word, got an empty one"),
        ("text", "x" * 50_001, "rows[1]", "expected at most 50000 characters, got 50001"),
        ("text", "x " * 10_001, "rows[1]", "expected at most 10000 steps or words in a row, got 10001"),
        ("load", {}, "rows[1]", "expected a list of steps or null, got an object"),
        ("load", [], "rows[1]", "expected a series of at least one step, got none"),
        ("load", [{"hour": "2020-01-01 00:00", "station": "a"}], "rows[1][0]", "expected a value of 'heat', got none"),
        ("load", [{"hour": [], "station": "a", "heat": 1}], "rows[1][0].hour", "expected text or a number, got a list"),
        ("count", [[1]], "rows[1]", "expected a series of at least 8 steps"),
        ("count", [[1], [1e31]], "rows[1][1][0]", "expected a number from -1e+30"),
        ("digits", "/etc/passwd", "rows[1]", "expected a sound file, got str"),
        ("digits", b"", "rows[1]", "expected a sound file, got no bytes"),
        ("digits", b"RIFF", "rows[1]", "expected sound (WAV"),
    ],
)
def test_a_wrong_row_is_refused_by_its_place(models, name, row, field, message):
    good = models.get(name).format.inputs.examples[0] if name != "digits" else sound_file()
    with pytest.raises(RequestError) as refused:
        predicted(models, name, [good, row])
    assert refused.value.status == 422
    assert refused.value.field == field
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize("rows", [None, {}, "x", 3, [], ["x"] * 1001])
def test_what_is_no_list_of_rows_is_refused(models, rows):
    with pytest.raises(RequestError, match=r"expected (a list of rows|at (least|most) )") as refused:
        predicted(models, "text", rows)
    assert refused.value.field == "rows"


def test_a_whole_request_has_its_limit_of_words(models):
    with pytest.raises(RequestError, match="expected at most 100000 steps or words a request, got 100010"):
        predicted(models, "text", ["x " * 10_000] * 10 + ["x " * 10])


def test_unknown_categories_numbers_as_names_and_missing_values_are_taken(models):
    rows = [{"rooms": 6, "age": None, "town": town} for town in (None, "nowhere", 3, True, "a")]
    found = predicted(models, "table", rows)
    assert found[1] == found[2] == found[3]  # towns that training had none of
    assert found[4] != found[1]


def test_a_short_file_of_long_sound_is_cut_off(models, app_of):
    quiet = sound_file(700 * 8000 / 768_000, rate=768_000)  # announces its rate; it is counted in the model's own time
    assert predicted(models, "digits", [quiet])[0]["note"] is None
    app = app_of("digits", seconds=1.5)
    refused = call(app, "POST", "/v1/models/digits/predict", sound_file(600.0, kind="flac"), content_type="audio/flac")
    assert refused.status == 413
    assert "at most 1.5 seconds" in refused.error["message"]


def test_short_files_that_are_long_together_are_cut_off_before_the_next_is_decoded(models, monkeypatch):
    format = models.get("digits").format
    decoded = []
    monkeypatch.setattr(inputs, "sound_blocks", lambda file, *a, name: decoded.append(name) or iter(one_second(250)))
    with pytest.raises(RequestError, match="expected at most 600 seconds of sound a request") as refused:
        format.prepare([b"x"] * 9)
    assert (refused.value.status, refused.value.field) == (413, "rows[2]")
    assert decoded == ["rows[0]", "rows[1]", "rows[2]"]


def test_the_time_to_decode_sound_is_that_of_all_files_together(models, monkeypatch):
    format, clock = models.get("digits").format, itertools.count(time.monotonic())
    monkeypatch.setattr(inputs, "sound_blocks", lambda file, *a, name: iter(one_second(20)))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))  # every look at it takes a second
    with pytest.raises(RequestError, match="expected sound that is decoded in time") as refused:
        format.prepare([b"x"] * 9)
    assert refused.value.field == "rows[1]"


def one_second(times):
    return [np.zeros(RATE, dtype=np.float32)] * times


def test_steps_of_a_request_are_counted_before_any_of_them_is_looked_at(models, monkeypatch):
    format = models.get("steps").format
    monkeypatch.setattr(format.inputs.record.__class__, "check", lambda *a: pytest.fail("looked at a step"))
    with pytest.raises(RequestError, match="expected at most 100000 steps or words a request, got 110000"):
        format.check([[[0, 0]] * 10_000] * 11)


@pytest.mark.parametrize("name", MODELS)
def test_the_example_of_a_model_works_and_fits_its_schema(models, name):
    import jsonschema_rs

    served = models.get(name)
    rows = served.format.inputs.examples if name != "digits" else [sound_file()]
    answers = json.loads(orjson.dumps(predicted(models, name, rows)))
    check(jsonschema_rs, served.format.outputs.schema, answers[0])
    if name != "digits":
        check(jsonschema_rs, served.format.inputs.schema, rows[0])


def check(validator, schema, value):
    """Against a schema of OpenAPI 3.0, whose nullable is JSON schema's type null."""
    validator.validate(modern(schema), value)


def modern(schema):
    if isinstance(schema, list):
        return [modern(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: modern(value) for key, value in schema.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


def test_the_rate_of_the_sounds_is_that_of_the_model(paths):
    assert bilstm.load(paths["digits"]).sound_.rate == RATE


def test_the_schema_of_a_list_holds_usual_rows_whatever_the_scales_of_their_columns():
    columns = [Column("share", "number", 0.5, 0.1), Column("people", "number", 2e6, 1e5)]
    record = Record([Field.of(column) for column in columns])
    bounds = record.schema["anyOf"][1]["items"]
    assert bounds["minimum"] <= 0.4 < 2.1e6 <= bounds["maximum"]
    assert record.check([0.4, 2.1e6], "rows[0]") == [0.4, 2.1e6]
    with pytest.raises(RequestError, match="from -99999"):
        record.check([bounds["maximum"], 2e6], "rows[0]")
