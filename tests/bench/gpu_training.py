"""Tokens per second, MFU and peak memory of a 7B-shaped training on this machine's GPUs.

    python tests/bench/gpu_training.py [--layers 32 --hidden 4096 --rows 128]

A Llama with random weights is trained on rows of 2,048 random tokens through the workflow's own
entry point, and then by the bare Trainer with the same DeepSpeed file. It has the 32 layers of a 7B
model, or as many as fit into the free memory: all 32 take 108 GB and what a step needs. The first
half of the steps is left out of tokens per second and MFU: the first ones allocate memory and start
NCCL. Published figures to compare with: 57.8 % MFU for 7B on one H200, 64 % for FSDP on A100.
"""

import argparse
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

VOCABULARY = 32_000
LAYERS = 32  # of a 7B model
# Weights and gradients in bf16, weights in fp32 and AdamW's two moments, of every parameter.
BYTES_PER_PARAMETER = 16
# Of each GPU for the default shapes: activations, the bare Trainer's logits, gathered parameters,
# gradients in fp32 and what the allocator cannot use. An estimate, not a measurement.
BYTES_OF_A_STEP = 20 * 2**30


def intermediate_size(hidden: int) -> int:
    return -(-hidden * 8 // 3 // 256) * 256


def layers_that_fit(hidden: int, free: Sequence[int]) -> int:
    """Return how many layers, at most those of a 7B model, fit into the free bytes of all GPUs."""
    parameters = sum(one - BYTES_OF_A_STEP for one in free) // BYTES_PER_PARAMETER
    embeddings = 2 * VOCABULARY * hidden
    layer = 4 * hidden**2 + 3 * hidden * intermediate_size(hidden)
    return min(LAYERS, (parameters - embeddings) // layer)


def free_memory() -> list[int]:
    """Return the free bytes of every GPU."""
    import torch

    return [torch.cuda.mem_get_info(gpu)[0] for gpu in range(torch.cuda.device_count())]


def write_model(folder: Path, layers: int, hidden: int, length: int) -> None:
    """Write a random Llama in bf16 with a tokenizer of the words t0 to t31996."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", *(f"t{number}" for number in range(VOCABULARY - 3))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=hidden,
        intermediate_size=intermediate_size(hidden),
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 128),
        max_position_embeddings=length,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        LlamaForCausalLM(config).bfloat16().save_pretrained(folder, max_shard_size="100GB")
    torch.cuda.empty_cache()  # this process stays, and its ranks need the memory


def write_rows(path: Path, rows: int, length: int) -> None:
    """Write rows that fill the whole length, half prompt and half response."""
    import random

    from reset_tuning.tables import write_table

    draw, half = random.Random(0), (length - 2) // 2

    def text() -> str:
        return " ".join(f"t{draw.randrange(VOCABULARY - 3)}" for _ in range(half))

    frame = pd.DataFrame(
        {
            "example_id": [f"row-{number:05d}" for number in range(rows)],
            "dataset": "toy", "kind": "instruction", "instruction": "x", "context": None,
            "question": None, "references": [["x"]] * rows, "source_row": "x",
            "set": "instruction", "copy": 0,
            "prompt": [text() for _ in range(rows)], "response": [text() for _ in range(rows)],
            "n_prompt_tokens": half, "n_response_tokens": half, "n_context_tokens_cut": 0,
        }
    )  # fmt: skip
    write_table(frame, path, "mixture")


def half_of_the_steps(rows: int, global_batch: int) -> int:
    """Return after how many steps measuring begins; the rest are no more than these."""
    return math.ceil(math.ceil(rows / global_batch) / 2)


def write_settings(path: Path, global_batch: int, length: int, evaluation_steps: int) -> None:
    settings = {
        "run": "bench", "base": "bench", "data": {"mixture": "bench"}, "max_length": length,
        "dtype": "bfloat16", "attention": "sdpa",
        "training": {
            "learning_rate": 1e-5, "weight_decay": 0.0, "warmup_ratio": 0.0, "schedule": "constant",
            "epochs": 1, "global_batch_size": global_batch, "evaluation_steps": evaluation_steps,
            "evaluation_examples": None, "gradient_clipping": 1.0,
            "deepspeed": "resources/deepspeed/zero3.json",
        },
    }  # fmt: skip
    path.write_text(json.dumps(settings))


def train_bare(folder: Path, options: argparse.Namespace) -> None:
    """Train the same rows with transformers' own Trainer; one rank, started by torchrun."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        Trainer,
        TrainerCallback,
        TrainerState,
        TrainingArguments,
    )

    from reset_tuning.training.distributed import process_group
    from reset_tuning.training.encoding import Encoder, collate
    from reset_tuning.training.speed import Speed

    encoder = Encoder(AutoTokenizer.from_pretrained(folder / "base"), options.length)
    frame = pd.read_parquet(folder / "train.parquet")
    encoded = encoder(frame.to_dict("list"))
    rows = [
        {"input_ids": ids, "labels": labels, "row": 0}
        for ids, labels in zip(*encoded.values(), strict=True)
    ]

    def batch(rows: list[dict]) -> dict:
        return {name: value for name, value in collate(rows, 0).items() if name != "row"}

    length = len(rows[0]["input_ids"])  # of every row
    half = half_of_the_steps(len(rows), options.global_batch)

    class Clock(TrainerCallback):
        def __init__(self, speed: Speed) -> None:
            self.speed = speed

        def on_train_begin(self, *_: object, **__: object) -> None:
            self.speed.begin(0)  # as in the workflow's own: the engine stands

        def on_step_end(self, _: object, state: TrainerState, *__: object, **___: object) -> None:
            if state.global_step == half:
                self.rates(half * options.global_batch)
                self.speed.start()

        def rates(self, rows: int) -> dict[str, Any]:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.speed.stop()
            return self.speed.rates(rows * length, int(os.environ["WORLD_SIZE"]))

    with process_group() as accelerator_config:
        share = options.global_batch // int(os.environ["WORLD_SIZE"])
        micro = min(share, options.micro_batch)
        arguments = TrainingArguments(
            output_dir=str(folder / "bare"), accelerator_config=accelerator_config,
            deepspeed=str(ROOT / "resources/deepspeed/zero3.json"),
            use_cpu=not torch.cuda.is_available(), bf16=True, activation_checkpointing=True,
            per_device_train_batch_size=micro, gradient_accumulation_steps=share // micro,
            num_train_epochs=1, learning_rate=1e-5, save_strategy="no", logging_strategy="no",
            report_to=[], disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.bfloat16)
        clock = Clock(Speed.of(model, length, arguments))
        trainer = Trainer(
            model=model, args=arguments, train_dataset=rows, data_collator=batch, callbacks=[clock]
        )
        trainer.train()
        rates = clock.rates(len(rows))
    if int(os.environ["RANK"]) == 0:
        peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
        print_figures("bare Trainer", **rates, peak_memory_gib=peak)


def print_figures(
    name: str, *, tokens_per_second: float, mfu: float | None, peak_memory_gib: float | None
) -> None:
    """Print the three figures of one trainer; what a machine does not tell is a dash."""
    share = "-" if mfu is None or math.isnan(mfu) else f"{mfu:.1%}"
    memory = "-" if peak_memory_gib is None else f"{peak_memory_gib:.1f} GiB"
    print(f"{name}: {tokens_per_second:.0f} tokens/s, MFU {share}, peak memory {memory}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, help="default: as many as fit, at most 32")
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--global-batch", type=int, default=16)
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        train_bare(options.bare, options)
        return
    layers = options.layers or layers_that_fit(options.hidden, free_memory())
    if layers < 1:
        parser.error("no GPU with room for one layer is free: give --layers and a small --hidden")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.info("%d layers", layers)

    import launch_training
    from reset_tuning.training.checkpoints import MODEL_FILES

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "base", layers, options.hidden, options.length)
        write_rows(folder / "train.parquet", options.rows, options.length)
        write_rows(folder / "validation.parquet", 2, options.length)
        half = half_of_the_steps(options.rows, options.global_batch)
        write_settings(folder / "run.json", options.global_batch, options.length, half)
        weights = {
            f"{checkpoint}_{name}": folder / checkpoint / file
            for checkpoint in ("best", "last")
            for name, file in MODEL_FILES.items()
        }
        resources = {
            "micro_batch_size": options.micro_batch, "evaluation_batch_size": 1,
            "gradient_checkpointing": 1, "resume_minutes": 10_000, "gpu": 0,
        }  # fmt: skip
        launch_training.main(
            settings=folder / "run.json", train=folder / "train.parquet",
            validation=folder / "validation.parquet", base=[], base_path=str(folder / "base"),
            deepspeed=ROOT / "resources/deepspeed/zero3.json", run="bench", seed=1,
            history=folder / "history.csv", provenance=folder / "provenance.json",
            resources=resources, **weights,
        )  # fmt: skip
        report = json.loads((folder / "provenance.json").read_text())["training"]
        last = pd.read_csv(folder / "history.csv").iloc[-1]
        ranks = report["geometry"]["ranks"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        subprocess.run(
            [*torchrun, f"--nproc-per-node={ranks}", __file__, *sys.argv[1:], "--bare", folder],
            env=os.environ | {"PYTHONWARNINGS": "ignore::FutureWarning"},  # thousands of lines
            check=True,
        )
    print(json.dumps(report, indent=2))
    print_figures(
        "workflow",
        tokens_per_second=last["tokens_per_second"],
        mfu=last["mfu"],
        peak_memory_gib=report["peak_memory_gib"],
    )


if __name__ == "__main__":
    main()
