"""What the Trainer and ZeRO-3 cost beside a bare loop, and what padding costs: ratios."""

import json
import os
import random
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import ROOT, copy_tree, run_snakemake
from reset_tuning.tables import read_table, write_table
from reset_tuning.training.encoding import Encoder, collate
from reset_tuning.training.order import RowOrder
from reset_tuning.training.settings import TrainingSettings

BASE = ROOT / "resources" / "mini" / "base"
ROWS, BATCH, WORDS = 1280, 16, 110
REPETITIONS = 3
PAPER_ROWS = 62_000  # of the instruction union
ZERO = "resources/deepspeed/zero3.json"
RESOURCES = {
    "micro_batch_size": BATCH, "evaluation_batch_size": 16, "gradient_checkpointing": 0, "gpu": 0,
}  # fmt: skip


def write_inputs(folder: Path) -> None:
    """Write rows of the miniature's words, a prompt of about 110 and a response of about 20."""
    words = [word for word in AutoTokenizer.from_pretrained(BASE).get_vocab() if word.isalpha()]
    draw = random.Random(0)

    def text(length: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(length // 2, length)))

    for name, count in (("train", ROWS), ("validation", 16)):
        frame = pd.DataFrame(
            {
                "example_id": [f"{name}-{number:05d}" for number in range(count)],
                "dataset": "toy", "kind": "instruction", "instruction": "x", "context": None,
                "question": None, "references": [["x"]] * count, "source_row": "x",
                "set": "instruction", "copy": 0,
                "prompt": [text(WORDS) for _ in range(count)],
                "response": [text(20) for _ in range(count)],
                "n_prompt_tokens": 1, "n_response_tokens": 1, "n_context_tokens_cut": 0,
            }
        )  # fmt: skip
        write_table(frame, folder / f"{name}.parquet", "mixture")


def write_settings(folder: Path, deepspeed: str | None) -> Path:
    training = TrainingSettings(
        learning_rate=1e-4, weight_decay=0.0, warmup_ratio=0.0, schedule="constant", epochs=1.0,
        global_batch_size=BATCH, evaluation_steps=10_000, evaluation_examples=None,
        gradient_clipping=1.0, deepspeed=deepspeed,
    )  # fmt: skip
    settings = {
        "run": "toy", "base": "llama-7b", "data": {"mixture": "toy"}, "max_length": 256,
        "dtype": "float32", "attention": "sdpa", "training": vars(training),
    }  # fmt: skip
    path = folder / "run.json"
    path.write_text(json.dumps(settings))
    return path


def trained_seconds(folder: Path, deepspeed: str | None) -> float:
    """Return the seconds of all steps of a training through the script, evaluations left out."""
    import launch_training
    from reset_tuning.training.checkpoints import MODEL_FILES

    target = folder / ("zero" if deepspeed else "plain")
    weights = {
        f"{checkpoint}_{name}": target / checkpoint / file
        for checkpoint in ("best", "last")
        for name, file in MODEL_FILES.items()
    }
    launch_training.main(
        settings=write_settings(folder, deepspeed), train=folder / "train.parquet",
        validation=folder / "validation.parquet", base=[], base_path=str(BASE), run="toy", seed=1,
        deepspeed=ROOT / deepspeed if deepspeed else [], history=target / "history.csv",
        provenance=target / "provenance.json", resources=RESOURCES, **weights,
    )  # fmt: skip
    return json.loads((target / "provenance.json").read_text())["training"]["train_seconds"]


def bare_seconds(folder: Path) -> float:
    """Return the seconds of the same number of steps in a loop of nothing but PyTorch."""
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).train()
    frame = read_table(folder / "train.parquet", "mixture")
    encoded = Encoder(AutoTokenizer.from_pretrained(BASE), 256)(frame.to_dict("list"))
    rows = [
        {"input_ids": ids, "labels": labels, "row": number}
        for number, (ids, labels) in enumerate(zip(*encoded.values(), strict=True))
    ]
    random.Random(0).shuffle(rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    started = time.monotonic()
    for start in range(0, ROWS, BATCH):
        batch = collate(rows[start : start + BATCH], pad_token_id=0)
        model(input_ids=batch["input_ids"], labels=batch["labels"]).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return time.monotonic() - started


def test_a_step_beside_a_bare_loop(tmp_path: Path) -> None:
    """The three take turns, and the fastest of each counts: other work slows all of them down."""
    write_inputs(tmp_path)
    ways = {
        "bare": lambda: bare_seconds(tmp_path),
        "plain": lambda: trained_seconds(tmp_path, None),
        "zero": lambda: trained_seconds(tmp_path, ZERO),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPETITIONS):
        for name, measure in ways.items():
            seconds[name].append(measure())
    best = {name: min(values) for name, values in seconds.items()}
    print(f"\ntraining: seconds of {ROWS // BATCH} steps, load {os.getloadavg()[0]:.1f}: {seconds}")
    for name, what in (("plain", "of the Trainer"), ("zero", "under ZeRO-3 on one rank")):
        print(f"training: a step {what} costs {best[name] / best['bare']:.2f} x a bare loop's")


@pytest.mark.skipif("RESET_RAW_DIR" not in os.environ, reason="set RESET_RAW_DIR to raw data")
def test_padding_of_the_real_instruction_mix(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "workflow")
    sizes = "".join(
        f"  {name}: {{splits: {{train: {{size: 20000}}}}}}\n"
        for name in ("dolly", "sharegpt", "self_instruct", "oasst1")
    )
    (tree / "large.yaml").write_text(f"prompt: {{max_length: 2048}}\ndatasets:\n{sizes}")
    mixture = "results/local_raw/mixtures/instruction/train.parquet"
    result = run_snakemake(
        tree, "--profile", "profiles/local_raw", mixture,
        "--configfile", "config/local_raw.yaml", "large.yaml",
        RESET_RAW_DIR=str(Path(os.environ["RESET_RAW_DIR"]).resolve()),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    frame = read_table(tree / mixture, "mixture")
    lengths = (frame["n_prompt_tokens"] + frame["n_response_tokens"] + 2).tolist()
    # A few thousand rows have too few of each length; the paper's set is drawn from theirs.
    draw = random.Random(0)
    many = [round(draw.choice(lengths) * draw.uniform(0.9, 1.1)) for _ in range(PAPER_ROWS)]
    shares = {}
    for name, rows in (("real", lengths), ("as many as the paper's", many)):
        for grouped in (True, False):
            order = list(RowOrder(rows, 32, seed=1, grouped=grouped))
            shares[name, grouped] = padding(order, rows, 32), padding(order, rows, 4)
            print(
                f"\npadding, {len(rows)} instruction rows ({name}), {'' if grouped else 'not '}"
                f"grouped: {shares[name, grouped][0]:.1%} at batch 32, "
                f"{shares[name, grouped][1]:.1%} at the 4 rows of one of 8 ranks"
            )
    assert shares["as many as the paper's", True][0] <= 0.05


def padding(order: list[int], lengths: list[int], size: int) -> float:
    """Return the share of padding in batches of a size taken in this order."""
    batches = [[lengths[row] for row in order[at : at + size]] for at in range(0, len(order), size)]
    padded = sum(len(batch) * max(batch) for batch in batches)
    return 1 - sum(map(sum, batches)) / padded
