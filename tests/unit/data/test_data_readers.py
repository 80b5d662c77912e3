"""Every published form of the 13 sources, in tiny files written by hand."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from raw_samples import write_gzip, write_json_lines

from reset_tuning.data.candidates import Candidate
from reset_tuning.data.readers import FORMATS, oasst, read_candidates, registry
from reset_tuning.data.readers.formats import ReaderOptions
from reset_tuning.errors import InputError


def read(path: Path, format: str = "auto", kind: str = "", **options: Any) -> list[Candidate]:
    kind = kind or FORMATS[format].kind
    chosen = ReaderOptions.of("x", options)
    return list(read_candidates(path, path.name, kind, format, chosen))


def read_one(tmp_path: Path, record: dict[str, Any], format: str, **options: Any) -> Candidate:
    (candidate,) = read(write_json_lines(tmp_path / "raw", [record]), format, **options)
    return candidate


# --- instruction sets -----------------------------------------------------------------------------

DOLLY = {"instruction": "Name a fish.", "context": "", "response": "Cod.", "category": "open_qa"}
ALPACA = {"instruction": "Name a fish.", "input": "", "output": "Cod."}


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("dolly", DOLLY),
        ("dolly", ALPACA | {"category": "open_qa"}),
        ("dolly", ALPACA),
        ("alpaca", ALPACA),
        ("alpaca", ALPACA | {"text": "Below is an instruction … Cod."}),
        ("self_instruct", ALPACA),
        ("self_instruct", {"prompt": "Task: Name a fish.\n\n", "completion": "Cod.<|endoftext|>"}),
        (
            "self_instruct",
            {"id": "seed_task_0", "instruction": "Name a fish.", "is_classification": False}
            | {"instances": [{"input": "", "output": "Cod."}]},
        ),
        (
            "sharegpt",
            {"id": "a_0", "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Name a fish."},
                {"from": "gpt", "value": "Cod."},
                {"from": "human", "value": "Another."},
                {"from": "gpt", "value": "Eel."},
            ]},
        ),
        (
            "sharegpt",
            {"id": "a_3", "conversations": [
                {"from": "gpt", "value": "…and so on."},
                {"from": "user", "value": "Name a fish."},
                {"from": "chatgpt", "value": "Cod."},
            ]},
        ),
    ],
)  # fmt: skip
def test_one_instruction_in_every_form(tmp_path: Path, format: str, record: dict) -> None:
    candidate = read_one(tmp_path, record, format)
    assert candidate.instruction == "Name a fish."
    assert candidate.references == ("Cod.",)
    assert candidate.context is None and not candidate.needs_context and not candidate.faults


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("dolly", DOLLY | {"context": "Cod swim."}),
        ("dolly", ALPACA | {"category": "closed_qa", "input": "Cod swim."}),
        ("alpaca", ALPACA | {"input": "Cod swim."}),
        ("self_instruct", {"instruction": "", "instances": [{"input": "Cod swim.", "output": ""}]}),
        ("self_instruct", {"prompt": "I\nInput: Cod swim.\nOutput:", "completion": " o"}),
        ("self_instruct", {"prompt": "Task: I\n\nCod swim.\n\n", "completion": "o<|endoftext|>"}),
    ],
)  # fmt: skip
def test_inputs_are_contexts(tmp_path: Path, format: str, record: dict) -> None:
    assert read_one(tmp_path, record, format).context == "Cod swim."


def test_dolly_categories_about_a_text_need_it(tmp_path: Path) -> None:
    candidate = read_one(tmp_path, DOLLY | {"category": "summarization"}, "dolly")
    assert candidate.context is None and candidate.needs_context


@pytest.mark.parametrize(
    ("prompt", "instruction", "context"),
    [
        ("Add. Output:", "Add.", None),
        ("Add.\n\nOutput:", "Add.", None),
        ("Add.\n", "Add.", None),
        ("Add.\n\nInput: 1\n2\n\nOutput:", "Add.", "1\n2"),
        ("Add.\n\n1\n2\n\nOutput:", "Add.", "1\n2"),
        ("Add.\n1 2\n\n", "Add.", "1 2"),
    ],
)
def test_self_instruct_prompts_are_taken_apart(
    tmp_path: Path, prompt: str, instruction: str, context: str | None
) -> None:
    record = {"prompt": prompt, "completion": " 3<|endoftext|>"}
    candidate = read_one(tmp_path, record, "self_instruct")
    assert (candidate.instruction, candidate.context) == (instruction, context)
    assert candidate.references == (" 3",)


def test_every_instance_of_a_task_and_tasks_without_any(tmp_path: Path) -> None:
    tasks = [
        {
            "instruction": "I",
            "instances": [{"input": "", "output": "1"}, {"input": "", "output": "2"}],
        },
        {"instruction": "J", "instances": []},
    ]
    found = read(write_json_lines(tmp_path / "raw", tasks), "self_instruct")
    assert [candidate.references for candidate in found] == [("1",), ("2",), ()]


def test_conversations_without_a_pair_and_later_chunks(tmp_path: Path) -> None:
    pair = [{"from": "human", "value": "go on"}, {"from": "gpt", "value": "yes"}]
    chats = [
        {"id": "a_0", "conversations": []},
        {"id": "a_1", "conversations": pair},
        {"id": "a_0", "conversations": [pair[0], pair[0], pair[1]]},
    ]
    path = write_json_lines(tmp_path / "raw", chats)
    assert [sorted(c.faults) for c in read(path, "sharegpt")] == [
        ["no_human_assistant_pair"],
        [],
        [],
    ]
    assert [sorted(c.faults) for c in read(path, "sharegpt", later_chunks="drop")][1] == [
        "later_chunk"
    ]


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("questions", {"question_id": 1, "category": "fermi", "turns": ["How many?", "Sure?"]}),
        ("questions", {"question_id": 1, "category": "fermi", "text": "How many?"}),
        ("koala", {"id": "koala_0", "prompt": "How many?"}),
    ],
)
def test_test_questions_have_no_reference(tmp_path: Path, format: str, record: dict) -> None:
    candidate = read_one(tmp_path, record, format)
    assert candidate.instruction == "How many?" and candidate.references == ()


def test_answers_of_models_are_not_questions(tmp_path: Path) -> None:
    answer = {"answer_id": "z", "question_id": 1, "text": "Many.", "model_id": "m"}
    with pytest.raises(InputError, match="raw is not in format 'questions'"):
        read_one(tmp_path, answer, "questions")


def test_half_an_emoji_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_text('[{"instruction": "a\\ud83d", "input": "", "output": "\\ud83d\\ude00"}]')
    (candidate,) = read(path, "alpaca")
    assert candidate.instruction == "a\ufffd" and candidate.references == ("\U0001f600",)


# --- OpenAssistant --------------------------------------------------------------------------------


def message(identifier: str, parent: str | None, quality: Any = (0.9, 3), **values: Any) -> dict:
    labels = {"name": ["spam", "quality"], "value": [0.0, quality[0]], "count": [3, quality[1]]}
    return {
        "message_id": identifier,
        "parent_id": parent,
        "text": identifier.upper(),
        "role": "assistant" if parent else "prompter",
        "lang": "en",
        "deleted": False,
        "rank": None,
        "labels": labels,
    } | values


def test_only_replies_to_root_prompts_are_pairs(tmp_path: Path) -> None:
    messages = [
        message("reply", "root"),  # before its parent: order does not matter
        message("root", None),
        message("follow-up", "reply", role="prompter"),
        message("answer", "follow-up"),
        message("gone", "root", deleted=True),
        message("orphan", "absent"),
    ]
    found = read(write_json_lines(tmp_path / "raw", messages), "oasst1")
    assert [not candidate.faults for candidate in found] == [True] + [False] * 5
    assert (found[0].instruction, found[0].references, found[0].group) == (
        "ROOT",
        ("REPLY",),
        "root ROOT",
    )


@pytest.mark.parametrize("nobody", ["", math.nan, None])
@pytest.mark.parametrize("rank", ["", math.nan, None, "best"])
def test_values_of_a_prompt_that_stand_for_none(tmp_path: Path, nobody: Any, rank: Any) -> None:
    messages = [message("root", None, parent_id=nobody, rank=rank), message("reply", "root")]
    found = read(write_json_lines(tmp_path / "raw", messages), "oasst1")
    assert [sorted(candidate.faults) for candidate in found] == [["not_assistant_pair"], []]


@pytest.mark.parametrize("rank", ["", math.nan, None])
def test_a_reply_without_a_rank(tmp_path: Path, rank: Any) -> None:
    messages = [message("root", None), message("reply", "root", rank=rank)]
    assert read(write_json_lines(tmp_path / "raw", messages), "oasst1")[1].rank is None


@pytest.mark.parametrize(("own", "named"), [(10, "10"), ("10", 10), (10, 10), (0, "0")])
def test_ids_are_equal_as_numbers_and_as_texts(tmp_path: Path, own: Any, named: Any) -> None:
    root = message("root", None, message_id=own)
    messages = [root, message("reply", "root", parent_id=named)]
    assert not read(write_json_lines(tmp_path / "raw", messages), "oasst1")[1].faults


def test_replies_to_a_blank_id_are_no_prompts(tmp_path: Path) -> None:
    reply = message("reply", "x", role="prompter", replies=[message("answer", "reply")])
    tree = {"message_tree_id": "t", "prompt": message("", None, replies=[reply])}
    found = read(write_json_lines(tmp_path / "raw", [tree]), "oasst1")
    assert all(candidate.faults for candidate in found)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"name": ["quality"], "value": [0.75], "count": [2]}, (0.75, 2)),
        ({"quality": {"value": 0.75, "count": 2}, "spam": {"value": 0.0, "count": 3}}, (0.75, 2)),
        ({"name": ["spam"], "value": [0.0], "count": [2]}, (None, 0)),
        ({"quality": {"value": None, "count": 2}}, (None, 2)),
        (None, (None, 0)),
    ],
)
def test_ratings_in_both_forms_of_the_labels(tmp_path: Path, labels: Any, expected: tuple) -> None:
    messages = [message("root", None), message("reply", "root", labels=labels)]
    reply = read(write_json_lines(tmp_path / "raw", messages), "oasst1")[1]
    assert (reply.rating, reply.raters) == expected


def test_trees_give_the_same_pairs(tmp_path: Path) -> None:
    reply = message("reply", "root") | {"replies": [message("deep", "x", role="prompter")]}
    root = message("root", None) | {"replies": [reply, message("second", "root")]}
    del root["parent_id"]
    tree = {"message_tree_id": "root", "tree_state": "ready_for_export", "prompt": root}
    found = read(write_json_lines(tmp_path / "raw", [tree]), "oasst1")
    assert [candidate.source_row for candidate in found] == [
        f"raw:1.{place}" for place in (1, 2, 3, 4)
    ]
    assert [candidate.references[0] for candidate in found if not candidate.faults] == [
        "REPLY",
        "SECOND",
    ]


# --- extractive question answering ----------------------------------------------------------------

PASSAGES = ["About eels.", "The cod is a fish.", "Nothing."]
CTXS = [{"id": str(i), "title": "t", "text": text, "score": "1"} for i, text in enumerate(PASSAGES)]
RESULTS = [{"title": "t", "snippet": text, "url": "u", "related_links": None} for text in PASSAGES]
CTX = {"query": "q", "answers": []}
CLUE = {"question": "What is a fish?", "answer": "cod"}
MULTIQA = {
    "id": "S_1",
    "context": {"documents": [{"title": "t", "text": text} for text in PASSAGES]},
    "qas": [
        {"question": "What is a fish?", "answers": {"open-ended": {"answer_candidates": [
            {"extractive": {"single_answer": {"answer": "cod", "instances": []}}},
        ]}}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("passages", {"question": "What is a fish?", "answers": ["cod"], "ctxs": CTXS}),
        ("passages", {"query": "What is a fish?", "answers": ["cod"], "passages": PASSAGES}),
        ("passages", {"query": "What is a fish?", "answers": "cod", "passages": CTXS}),
        ("passages", MULTIQA),
        ("searchqa", MULTIQA),
        (
            "searchqa",
            CLUE | {"value": "$800", "search_results": RESULTS},
        ),
        (
            "searchqa",
            CLUE | {"search_results": {"snippets": PASSAGES}},
        ),
        (
            "bioasq",
            {"questions": [{"body": "What is a fish?", "type": "factoid", "exact_answer": [["cod"]],
                            "snippets": [{"text": text, "document": "d"} for text in PASSAGES]}]},
        ),
    ],
)  # fmt: skip
def test_one_question_in_every_form(tmp_path: Path, format: str, record: dict) -> None:
    candidate = read_one(tmp_path, record, format)
    assert candidate.question == "What is a fish?"
    assert candidate.references == ("cod",)
    assert candidate.context == "About eels.\nThe cod is a fish.\nNothing."
    assert candidate.gold_ranks == (2,) and not candidate.faults


def test_no_reader_takes_the_name_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oasst, "FORMATS", (FORMATS["passages"],))
    with pytest.raises(ValueError, match=r"passages has two readers, in .*contexts\.py and in "):
        registry._known_formats()


def test_a_question_without_passages_has_a_fault(tmp_path: Path) -> None:
    candidate = read_one(tmp_path, {"question": "Who?", "answer": ["A", "B"]}, "passages")
    assert candidate.references == ("A", "B") and candidate.faults == {"no_context"}


def test_one_context_is_one_passage(tmp_path: Path) -> None:
    record = {
        "question": "Who?",
        "context": "It was Al.",
        "answers": {"text": ["Al"], "answer_start": [7]},
    }
    assert read_one(tmp_path, record, "passages").gold_ranks == (1,)


def test_answers_in_the_context_come_first(tmp_path: Path) -> None:
    record = {"question": "Who?", "answers": ["Alfred", "Al"], "ctxs": [{"text": "It was Al."}]}
    assert read_one(tmp_path, record, "passages").references == ("Al", "Alfred")


def test_missing_snippets_are_not_passages(tmp_path: Path) -> None:
    results = [{"snippet": None}, {"snippet": " "}, {"snippet": "The cod."}]
    record = {"question": "q", "answer": "cod", "search_results": results}
    assert read_one(tmp_path, record, "searchqa").context == "The cod."


def test_multiqa_pages_lose_their_tags_and_header(tmp_path: Path) -> None:
    words = ["<P>", *(f"w{i}" for i in range(120)), "</P>"]
    page = {
        "title": "t",
        "text": "<P> … </P>",
        "tokens": {"text": [[word, i] for i, word in enumerate(words)]},
        "metadata": {"tokens": {"text": {"is_html_token": [word[0] == "<" for word in words]}}},
    }
    span = {"answer": "w110 <B>w111</B>"}
    answer = {
        "open-ended": {
            "answer_candidates": [{"extractive": {"single_answer": span}}, {"yesno": {}}]
        }
    }
    record = {
        "id": "1",
        "context": {"documents": [page]},
        "qas": [{"question": "q", "answers": answer}],
    }
    path = write_json_lines(tmp_path / "raw", [{"header": {"split": "dev"}}, record])
    (candidate,) = read(path, "passages")
    assert candidate.source_row == "raw:2.1"
    assert candidate.context.count("\n") == 1 and "<" not in candidate.context
    assert candidate.gold_ranks == (2,) and candidate.references == ("w110 w111",)


@pytest.mark.parametrize(
    ("exact", "expected"),
    [
        ("cod", ("cod",)),
        (["cod", "the cod"], ("cod", "the cod")),
        ([["cod", "codfish"], ["cod"]], ("cod", "codfish")),
        (None, ()),
    ],
)
def test_bioasq_answers_of_every_shape(tmp_path: Path, exact: Any, expected: tuple) -> None:
    question = {"body": "q", "type": "list", "snippets": [{"text": "The cod."}]}
    question |= {} if exact is None else {"exact_answer": exact}
    assert read_one(tmp_path, {"questions": [question]}, "bioasq").references == expected


def test_bioasq_keeps_factoid_and_list_questions(tmp_path: Path) -> None:
    kinds = ["factoid", "list", "yesno", "summary"]
    questions = [{"body": kind, "type": kind, "snippets": [{"text": "t"}]} for kind in kinds]
    path = tmp_path / "9B1_golden.json"
    path.write_text(json.dumps({"questions": questions}, indent=1))
    found = read(path, "bioasq")
    assert [candidate.source_row for candidate in found] == [
        f"{path.name}:1.{n}" for n in (1, 2, 3, 4)
    ]
    assert ["unsupported_type" in candidate.faults for candidate in found] == [
        False,
        False,
        True,
        True,
    ]


def test_searchqa_is_read_from_its_zip(tmp_path: Path) -> None:
    path = tmp_path / "test.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("1", "2"):
            record = {"question": name, "answer": "cod", "search_results": RESULTS}
            archive.writestr(f"test/{name}.json", json.dumps(record))
    assert [candidate.question for candidate in read(path, "searchqa")] == ["1", "2"]


# --- abstractive question answering ---------------------------------------------------------------

COLUMNS = {"passage_text": PASSAGES, "is_selected": [0, 1, 0], "url": ["u", "u", "u"]}
ROWS = [
    {"passage_text": text, "is_selected": int(i == 1), "url": "u"}
    for i, text in enumerate(PASSAGES)
]
MARCO = {
    "query": "fish?",
    "query_id": 1,
    "answers": ["cod"],
    "wellFormedAnswers": ["It is the cod."],
}


def test_ms_marco_in_every_form(tmp_path: Path) -> None:
    parquet = tmp_path / "hub.parquet"
    pd.DataFrame([MARCO | {"passages": COLUMNS}]).to_parquet(parquet)
    raw = tmp_path / "v2.1.json"
    raw.write_text(
        json.dumps({key: {"0": value} for key, value in (MARCO | {"passages": ROWS}).items()})
    )
    lines = write_json_lines(tmp_path / "lines", [MARCO | {"passages": ROWS}])
    for path in (parquet, raw, lines):
        (candidate,) = read(path, "ms_marco")
        assert candidate.question == "fish?" and candidate.references == ("It is the cod.",)
        assert candidate.context == "\n".join(PASSAGES) and candidate.gold_ranks == (2,)


@pytest.mark.parametrize("empty", ["[]", " [ ]", [], [""], ["No Answer Present."], None])
def test_ms_marco_without_an_answer(tmp_path: Path, empty: Any) -> None:
    record = MARCO | {"passages": ROWS, "wellFormedAnswers": empty}
    assert read_one(tmp_path, record, "ms_marco").references == ()


@pytest.mark.parametrize(
    "text", ["[sic]", "[1] It is.", "[", "[1:2]", "[1], [2]", "[" * 200_000 + "]" * 9999]
)
def test_an_answer_in_brackets_is_no_list(tmp_path: Path, text: str) -> None:
    record = MARCO | {"passages": ROWS, "wellFormedAnswers": text}
    assert read_one(tmp_path, record, "ms_marco").references == (text,)


def test_ms_marco_v1_has_plain_answers(tmp_path: Path) -> None:
    record = {key: value for key, value in MARCO.items() if key != "wellFormedAnswers"}
    record["passages"] = ROWS
    assert read_one(tmp_path, record, "ms_marco", answers="answers").references == ("cod",)
    pd.DataFrame([record]).to_parquet(tmp_path / "raw.parquet")
    lacks = "has no column wellFormedAnswers, .* has the keys answers, passages, query, query_id; "
    with pytest.raises(InputError, match=f"^raw {lacks}set the option"):
        read_one(tmp_path, record, "ms_marco")
    with pytest.raises(InputError, match=f"^raw.parquet {lacks}set the option"):
        read(tmp_path / "raw.parquet", "ms_marco")


def test_one_ms_marco_row_without_the_answers_is_bad(tmp_path: Path) -> None:
    whole = MARCO | {"passages": ROWS}
    misspelt = {key.lower(): value for key, value in whole.items()}
    path = write_json_lines(tmp_path / "raw", [whole, misspelt])
    with pytest.raises(InputError, match="raw:2 is not .* key 'wellFormedAnswers' is missing"):
        read(path, "ms_marco")


def test_ms_marco_parquet_with_texts_for_answers(tmp_path: Path) -> None:
    """The raw files' way to write an empty list, in parquet: the column holds texts."""
    answers = ["[]", "It is the cod."]
    rows = [MARCO | {"passages": COLUMNS, "wellFormedAnswers": text} for text in answers]
    path = tmp_path / "raw.parquet"
    pd.DataFrame(rows).to_parquet(path)
    options, unanswered = ReaderOptions(), []
    asked = (path, "raw", "abstractive_qa", "ms_marco", options, "fail", unanswered.append)
    found = list(read_candidates(*asked))
    assert not unanswered
    assert [candidate.references for candidate in found] == [(), ("It is the cod.",)]
    assert found[1].gold_ranks == (2,)


@pytest.mark.parametrize(
    ("marks", "gold"),
    [(["0", "0", "0"], ()), (["0", "1", "0"], (2,)), ([None, True, False], (2,)), (None, ())],
)
def test_ms_marco_marks_of_other_types(tmp_path: Path, marks: Any, gold: tuple) -> None:
    record = MARCO | {"passages": COLUMNS | {"is_selected": marks}}
    assert read_one(tmp_path, record, "ms_marco").gold_ranks == gold


@pytest.mark.parametrize(
    "spoilt", [{"targets": [["a"]]}, {"targets": [3]}, {"inputs": 3}, {"inputs": [["a"]]}]
)
def test_wikisum_of_another_form_is_a_bad_row(tmp_path: Path, spoilt: dict) -> None:
    with pytest.raises(InputError, match="raw:1 is not a wikisum record"):
        read_one(tmp_path, {"inputs": "Text.", "targets": "One."} | spoilt, "wikisum")


# --- summarization --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "record"),
    [
        ("cnn_dailymail", {"id": "1", "article": "Text.", "highlights": "One.\nTwo."}),
        ("cnn_dailymail", {"id": "1", "article": "Text.", "highlights": ["One.", "", "Two."]}),
        ("wikisum", {"url": "u", "title": "t", "summary": "One.\nTwo.", "article": "Text."}),
        ("wikisum", {"inputs": ["< EOT > Text.", " "], "targets": [["a", "One."], ["b", "Two."]]}),
        ("wikisum", {"inputs": "Text.", "targets": "One.\nTwo."}),
        ("wikisum", {"inputs": ["Text."], "targets": ["One.", "Two."]}),
    ],
)  # fmt: skip
def test_documents_and_summaries(tmp_path: Path, format: str, record: dict) -> None:
    candidate = read_one(tmp_path, record, format)
    assert candidate.context == "Text." and candidate.references == ("One.\nTwo.",)


# --- which reader ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "record", "question"),
    [
        ("instruction", DOLLY, "Name a fish."),
        ("instruction", ALPACA, "Name a fish."),
        ("instruction", {"id": "k", "prompt": "Name a fish."}, "Name a fish."),
        ("instruction", {"prompt": "Name a fish.\n", "completion": "Cod."}, "Name a fish."),
        ("extractive_qa", {"question": "q", "answers": ["cod"], "ctxs": CTXS}, "q"),
        ("extractive_qa", {"question": "q", "answer": "cod", "search_results": RESULTS}, "q"),
        ("extractive_qa", {"body": "q", "type": "factoid", "snippets": []}, "q"),
        ("abstractive_qa", MARCO | {"passages": COLUMNS}, "fish?"),
    ],
)  # fmt: skip
def test_auto_finds_the_reader(tmp_path: Path, kind: str, record: dict, question: str) -> None:
    (candidate,) = read(write_json_lines(tmp_path / "raw", [record]), "auto", kind)
    assert question in (candidate.instruction, candidate.question)


def test_an_unknown_form_is_refused_with_its_keys(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "odd.jsonl", [{"text": "a", "label": 1}])
    with pytest.raises(InputError, match=r"odd.jsonl is not in any known format.*keys label, text"):
        read(path, "auto", "instruction")
    with pytest.raises(InputError, match=r"not in format 'dolly'.*known formats are alpaca with"):
        read(path, "dolly")


def test_a_format_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="format 'dolly' is not one for extractive_qa data"):
        read(write_json_lines(tmp_path / "raw", [DOLLY]), "dolly", "extractive_qa")


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("dolly", DOLLY, {"instruction": "a"}),
        ("passages", CTX | {"passages": []}, CTX | {"passages": {}}),
        ("bioasq", {"body": "q", "type": "list"}, {"body": "q", "type": "list", "snippets": [3]}),
    ],
)  # fmt: skip
def test_a_broken_record_is_named(tmp_path: Path, format: str, good: dict, bad: dict) -> None:
    path = write_json_lines(tmp_path / "raw", [good, bad])
    with pytest.raises(InputError, match=f"raw:2 is not a {format} record"):
        read(path, format)


@pytest.mark.parametrize("options", [{"passages": 5}, {"gold": "first"}, {"max_passages": 0}])
def test_unknown_options_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="datasets.nq.options"):
        ReaderOptions.of("nq", options)


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    path = write_gzip(tmp_path / "x.gz", json.dumps(DOLLY) + "\n")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="x.gz is truncated or damaged"):
        read(path, "dolly")
