"""Make the recorded scores of the untouched summac package; README.md says in which environment.

python make_oracle.py models     two small models with random weights
python make_oracle.py scores     <model>.json beside each model
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MINI = HERE.parents[3] / "resources" / "mini" / "nli"
LABELS = {0: "entailment", 1: "contradiction", 2: "neutral"}
PLACES = ["Bergen", "Oslo", "the old harbour", "St. Ives", "the U.S. capital", "Zürich", "Łódź"]
THINGS = ["the ferry", "a red owl", "Dr. Smith", "the bridge (built in 1992)", "3.5 tonnes of fish"]
ACTS = ["was closed", "moved to", "is not in", "burnt down near", "won $4.50 at", "never left"]
HARD = [
    ("", "An answer without any document at all."),
    ("A document that is answered with nothing.", ""),
    ("Short. No. Yes. Ten chars.", "It is far longer than ten characters."),
    ("It is far longer than ten characters.", "Yes. No. Paris."),
    ("Twice the same. Twice the same. Twice the same.", "Twice the same. Twice the same."),
    (
        "Prof. Lee met Mr. Jones vs. others.\n\nA second paragraph follows!",
        "Was it Prof. Lee? Yes.",
    ),
    ("unicode — “quotes” and ½ … naïve café 東京", "東京 naïve café unicode — “quotes” and ½"),
]


def sentence(draw: random.Random) -> str:
    """Return one made sentence."""
    words = f"{draw.choice(THINGS)} {draw.choice(ACTS)} {draw.choice(PLACES)}"
    return words[0].upper() + words[1:] + draw.choice([".", ".", "!", "?"])


def made_pairs(draw: random.Random) -> list[tuple[str, str]]:
    """Return documents with seven answers each, some of whose sentences are copied."""
    pairs = []
    for _ in range(6):
        document = [sentence(draw) for _ in range(draw.randint(2, 9))]
        for _ in range(7):
            copied = draw.choices(document, k=1) if draw.random() < 0.6 else []
            answer = copied + [sentence(draw) for _ in range(draw.randint(1, 2))]
            pairs.append((" ".join(document), " ".join(answer)))
    return pairs


def long_pairs(draw: random.Random) -> list[tuple[str, str]]:
    """Return documents of more than a hundred sentences, and sentences of more than 500 tokens."""
    many = " ".join(sentence(draw) for _ in range(104))
    endless = ", ".join(sentence(draw)[:-1] for _ in range(90)) + "."
    longer = ", ".join(sentence(draw)[:-1] for _ in range(150)) + "."
    return [
        (many, "The ferry was closed Oslo. A red owl moved to Bergen."),
        (endless, "The ferry was closed Oslo."),
        ("The ferry was closed Oslo.", endless),
        (endless, longer),
        (longer, endless),
    ]


def save_models() -> None:
    """Save a tiny ALBERT (its tokenizer made from a spiece.model) and a tiny BERT."""
    draw = random.Random(0)
    corpus = [sentence(draw) for _ in range(400)] + [text for pair in HARD for text in pair]
    _save_albert(HERE / "albert", corpus)
    _save_bert(HERE / "bert", corpus)


def _save_albert(folder: Path, corpus: list[str]) -> None:
    import sentencepiece
    import torch
    from transformers import (
        AlbertConfig,
        AlbertForSequenceClassification,
        AlbertTokenizer,
        AlbertTokenizerFast,
    )

    folder.mkdir(exist_ok=True)
    pieces = folder / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_prefix=str(pieces), vocab_size=300,
        pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, normalization_rule_name="identity",
        control_symbols=["[CLS]", "[SEP]", "[MASK]"], hard_vocab_limit=False,
        pad_piece="<pad>", character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    slow = AlbertTokenizer(f"{pieces}.model")
    AlbertTokenizerFast(__slow_tokenizer=slow).save_pretrained(folder)
    for made in folder.glob("spiece.*"):
        made.unlink()
    torch.manual_seed(1)
    config = AlbertConfig(
        vocab_size=320, embedding_size=16, hidden_size=32, num_hidden_layers=2, id2label=LABELS,
        num_attention_heads=2, intermediate_size=64, initializer_range=0.25, pad_token_id=0,
        label2id={name: index for index, name in LABELS.items()}, max_position_embeddings=512,
    )  # fmt: skip
    AlbertForSequenceClassification(config).eval().save_pretrained(folder)


def _save_bert(folder: Path, corpus: list[str]) -> None:
    import torch
    from tokenizers import BertWordPieceTokenizer
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir(exist_ok=True)
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(corpus, vocab_size=300, show_progress=False)
    ends = [(token, trainer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    trainer._tokenizer.post_processor = BertProcessing(*ends)
    trainer.save(str(folder / "tokenizer.json"))
    BertTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), do_lower_case=True
    ).save_pretrained(folder)
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=trainer.get_vocab_size(), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64, initializer_range=0.25, id2label=LABELS,
        label2id={name: index for index, name in LABELS.items()},
    )  # fmt: skip
    BertForSequenceClassification(config).eval().save_pretrained(folder)


def write_punkt(folder: Path) -> None:
    """Write nltk's English data with our abbreviations, which the offline splitter has too."""
    sys.path.insert(0, str(HERE.parents[3] / "scripts"))
    from reset_tuning.scoring import sentences

    english = folder / "tokenizers" / "punkt_tab" / "english"
    english.mkdir(parents=True)
    for name in ("collocations.tab", "sent_starters.txt", "ortho_context.tab"):
        (english / name).write_text("")
    abbreviations = sentences._ABBREVIATIONS.split()
    (english / "abbrev_types.txt").write_text("\n".join(abbreviations) + "\n")


def record(name: str, folder: Path, granularity: str, pairs: list[tuple[str, str]]) -> None:
    """Score with the package as it is on PyPI and write the scores with what made them."""
    import nltk
    import torch
    import transformers
    from summac import model_summac

    config = json.loads((folder / "config.json").read_text())
    indices = {label: int(index) for index, label in config["id2label"].items()}
    model_summac.model_map[name] = {
        "model_card": str(folder),
        "entailment_idx": indices["entailment"],
        "contradiction_idx": indices["contradiction"],
    }
    columns = {}
    for column, use_con in (("entailment", False), ("default", True)):
        scorer = model_summac.SummaCZS(
            model_name=name, granularity=granularity, use_con=use_con, device="cpu",
            imager_load_cache=False,
        )  # fmt: skip
        columns[column] = scorer.score(*map(list, zip(*pairs, strict=True)))["scores"]
    rows = [
        {"document": pair[0], "answer": pair[1]}
        | {column: float(values[index]) for column, values in columns.items()}
        for index, pair in enumerate(pairs)
    ]
    versions = {module.__name__: module.__version__ for module in (nltk, torch, transformers)}
    content = {"made_by": {"summac": "0.0.4", **versions}, "granularity": granularity, "rows": rows}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n")


def save_scores() -> None:
    """Score the made pairs with all three models; the miniature's reads no more than 64 tokens."""
    import nltk

    with tempfile.TemporaryDirectory() as folder:
        write_punkt(Path(folder))
        nltk.data.path.insert(0, folder)
        draw = random.Random(1)
        made, long = made_pairs(draw), long_pairs(draw)
        record("albert", HERE / "albert", "sentence", HARD + made + long)
        record("bert", HERE / "bert", "sentence", HARD + made + long)
        record("mini", _readable_by_version_4(MINI, Path(folder)), "sentence", HARD + made)


def _readable_by_version_4(model: Path, folder: Path) -> Path:
    """Copy a model whose tokenizer names a class that only transformers 5 has."""
    copy = shutil.copytree(model, folder / "mini")
    file = copy / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    file.write_text(json.dumps(settings))
    return copy


if __name__ == "__main__":
    {"models": save_models, "scores": save_scores}[sys.argv[1]]()
