"""Generation with transformers: every prompt is read once and all its draws decode over it.

Prompts of like length make a batch, padded on the left. Each step feeds the newest tokens of all
draws together (shared_prompts.py), each with its own temperature, top-k and random numbers, and
finished draws leave. One code path serves greedy decoding and the sampling grid.

In float32 on a CPU a request's outputs were the same in every batch tried. The last bits of the
logits may still depend on the batch's shape (more so on GPUs and in bfloat16), and then a draw
whose random number falls on the border of two tokens can change.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils.logging import disable_progress_bar

from reset_tuning.errors import InputError
from reset_tuning.loading import loading
from reset_tuning.sampling.backend import LENGTH, STOP, Completed, Completion, Request, Setting
from reset_tuning.sampling.choice import next_tokens, uniform_numbers
from reset_tuning.sampling.shared_prompts import UNREADABLE, SharedPrompts, attention_of_draws
from reset_tuning.sampling.texts import decoded, ends_of

# How prompts are read; the flash-attention package takes no padding mask of the general kind.
_ATTENTIONS = ("sdpa", "eager")

_UNWRITTEN = -1

# Finished draws leave the batch once at most this share of its places is still in use; leaving
# copies the cache. 800 prompts of the miniature with 7 draws took 4.8 CPU seconds at 0.8, 5.7 at
# 0.5 and 8.2 when none left.
_REPACK_AT = 0.8


class TransformersBackend:
    """Decodes requests with a causal language model on one device."""

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, batch_tokens: int) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._ends = torch.tensor(sorted(end_tokens(model, tokenizer)), device=model.device)

    @classmethod
    def load(
        cls,
        path: str,
        tokenizer: Tokenizer,
        *,
        dtype: str,
        attention: str,
        batch_tokens: int,
        threads: int = 1,
        device: int = 0,
    ) -> "TransformersBackend":
        """Load a checkpoint folder or a hub model onto GPU number `device`, or else the CPU.

        Raises InputError when it cannot be loaded or attends in a way that is not supported.
        """
        torch.set_num_threads(threads)
        if attention not in _ATTENTIONS:
            logging.info("attention %s is for training; reading with %s", attention, _ATTENTIONS[0])
            attention = _ATTENTIONS[0]
        disable_progress_bar()
        with loading(f"the model {path}"):
            model = AutoModelForCausalLM.from_pretrained(
                path, dtype=getattr(torch, dtype), attn_implementation=attention
            )
        place = f"cuda:{device}" if torch.cuda.is_available() else "cpu"
        backend = cls(model.to(place), tokenizer, batch_tokens)
        check_attention(backend._model)
        return backend

    def generate(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        """Yield completions batch by batch, the longest prompts first.

        A batch holds at most `batch_tokens` prompt tokens, padding included. One that does not fit
        into the GPU's memory, where its draws need room too, is formed again at half the size, and
        so are the others of this call: later ones may have other lengths, and so another limit.
        Raises InputError for a prompt without tokens or beyond the model's positions.
        """
        check_requests(requests, self._model)
        pending = sorted(range(len(requests)), key=lambda index: -len(requests[index].prompt_ids))
        batch_tokens = self._batch_tokens
        while pending:
            longest = len(requests[pending[0]].prompt_ids)
            batch = pending[: max(1, batch_tokens // longest)]
            completions = self._complete([requests[index] for index in batch])
            if completions is None:
                batch_tokens = _halved(len(batch), longest)
                continue
            yield list(zip(batch, completions, strict=True))
            pending = pending[len(batch) :]

    def _complete(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]] | None:
        """Return the completions of one batch; None when the GPU's memory cannot hold it."""
        try:
            decoding = _Decoding(self._model, self._ends, requests)
            tokens, ended = decoding.run()
        except torch.OutOfMemoryError:
            return None
        used = decoding.settings_in_use()
        return [
            tuple(
                self._completion(tokens[row][draw], ended[row][draw], *used[row][draw])
                for draw in range(len(request.settings))
            )
            for row, request in enumerate(requests)
        ]

    def _completion(
        self, tokens: list[int], ended: bool, temperature: float, top_k: int
    ) -> Completion:
        text = decoded(self._tokenizer, tokens)
        return Completion(text, len(tokens), STOP if ended else LENGTH, temperature, top_k)


def _halved(rows: int, longest: int) -> int:
    """Return the prompt tokens a batch may hold after one of rows x longest was too large."""
    if rows == 1:
        raise InputError(
            f"a prompt of {longest} tokens with its draws does not fit into the GPU's memory: "
            "use a larger GPU, fewer rounds or a smaller max_new_tokens"
        )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    batch_tokens = rows * longest // 2
    logging.warning(
        "out of GPU memory: %d prompt tokens a batch for the prompts at hand", batch_tokens
    )
    return batch_tokens


def check_attention(model: PreTrainedModel) -> None:
    """Raise InputError unless two tokens can be decoded over a shared prompt.

    No attribute of a model tells this: some that go through transformers' attention interface
    change keys on the way, some that declare nothing are read well.
    """
    trial = Request((0,), (Setting(0.0, 0, 0),), 2)
    never = torch.tensor([_UNWRITTEN], device=model.device)  # no end token may cut the trial short
    try:
        _Decoding(model, never, [trial]).run()
    except InputError:
        raise
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        logging.debug("the trial of attention failed", exc_info=True)
        raise InputError(UNREADABLE) from error


def check_requests(requests: Sequence[Request], model: PreTrainedModel) -> None:
    """Raise InputError for what the model cannot read; log a top-k above its vocabulary."""
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    for request in requests:
        n_tokens = len(request.prompt_ids)
        if not n_tokens:
            raise InputError("a prompt without tokens cannot be continued: it lacks even a BOS")
        if positions and n_tokens + request.max_new_tokens > positions:
            raise InputError(
                f"a prompt of {n_tokens} tokens with {request.max_new_tokens} new ones exceeds the "
                f"{positions} positions of {config.name_or_path or 'the model'}: lower "
                f"prompt.max_length to {positions}"
            )
    largest = max((s.top_k for request in requests for s in request.settings), default=0)
    if largest > config.vocab_size:
        logging.warning(
            "top-k %d is above the vocabulary of %d tokens, which is what is used and recorded",
            largest,
            config.vocab_size,
        )


def end_tokens(model: PreTrainedModel, tokenizer: Tokenizer) -> set[int]:
    """Return the ids that end an answer: the tokenizer's EOS and those of the model's settings."""
    # A checkpoint without generation_config.json gets one from its config; some models have none.
    return ends_of(getattr(model.generation_config, "eos_token_id", None), tokenizer)


@dataclass
class _State:
    """What is still decoded. A finished draw's slot is empty: it holds the number `n_draws`.

    rows: [B] row of the request; slots: [B, Q] draw decoded at each place; tokens: [B, Q] newest
    tokens; positions: [B] their position ids.
    """

    rows: torch.Tensor
    slots: torch.Tensor
    tokens: torch.Tensor
    positions: torch.Tensor
    cache: SharedPrompts


class _Decoding:
    """The decoding of one batch of requests."""

    def __init__(
        self, model: PreTrainedModel, ends: torch.Tensor, requests: Sequence[Request]
    ) -> None:
        self._model, self._ends, self._requests = model, ends, requests
        self._n_draws = max(len(request.settings) for request in requests)
        self._steps = max(request.max_new_tokens for request in requests)
        limits = [request.max_new_tokens for request in requests]
        self._limits = torch.tensor(limits, device=model.device)
        self._temperatures = self._by_draw([[s.temperature for s in r.settings] for r in requests])
        top_ks = self._by_draw([[_top_k(s, model) for s in r.settings] for r in requests])
        self._top_ks = top_ks.long()
        self._uniform = self._uniform_numbers()
        # One draw more than there are: where empty slots write what nobody reads.
        shape = (len(requests), self._n_draws + 1, self._steps)
        self._written = torch.full(shape, _UNWRITTEN, device=model.device)

    def _by_draw(self, values: list[list[float]]) -> torch.Tensor:
        """Return values by request and draw as [B, n_draws + 1], absent draws being 0."""
        padded = [row + [0.0] * (self._n_draws + 1 - len(row)) for row in values]
        return torch.tensor(padded, dtype=torch.float64, device=self._model.device)

    def _uniform_numbers(self) -> torch.Tensor:
        """Return every draw's random numbers, [B, n_draws + 1, steps]; zeros where greedy."""
        numbers = torch.zeros(
            (len(self._requests), self._n_draws + 1, self._steps), dtype=torch.float64
        )
        for row, request in enumerate(self._requests):
            for draw, setting in enumerate(request.settings):
                if setting.temperature > 0:
                    numbers[row, draw] = uniform_numbers(setting.seed, self._steps)
        return numbers.to(self._model.device)

    def settings_in_use(self) -> list[list[tuple[float, int]]]:
        """Return the temperature and top-k that choose the tokens, by request and draw."""
        rows = zip(self._temperatures.tolist(), self._top_ks.tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in rows]

    @torch.inference_mode()
    def run(self) -> tuple[list[list[list[int]]], list[list[bool]]]:
        """Return tokens without the end token, and whether there was one, by request and draw."""
        state, logits = self._read_prompts()
        with attention_of_draws(self._model):
            for step in range(self._steps):
                self._write(state, logits, step)
                if not self._repack(state):
                    break
                logits = self._read_tokens(state)
        return self._results()

    def _read_prompts(self) -> tuple[_State, torch.Tensor]:
        """Read the prompts, padded on the left; return the state and logits [B, Q, vocabulary]."""
        device, n_rows = self._model.device, len(self._requests)
        lengths = torch.tensor([len(r.prompt_ids) for r in self._requests], device=device)
        longest = int(lengths.max())
        padding = int(self._ends[0])
        ids = [[padding] * (longest - len(r.prompt_ids)) + [*r.prompt_ids] for r in self._requests]
        columns = torch.arange(longest, device=device)
        is_prompt = columns >= (longest - lengths)[:, None]
        cache = DynamicCache(config=self._model.config)
        output = self._model(
            input_ids=torch.tensor(ids, device=device),
            attention_mask=is_prompt.long(),
            position_ids=(is_prompt.cumsum(-1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        draws = torch.arange(self._n_draws, device=device).expand(n_rows, -1)
        counts = torch.tensor([len(r.settings) for r in self._requests], device=device)
        slots = torch.where(draws < counts[:, None], draws, self._n_draws)
        rows = torch.arange(n_rows, device=device)
        shared = SharedPrompts(cache, is_prompt)
        state = _State(rows, slots, torch.empty_like(slots), lengths, shared)
        return state, output.logits[:, -1:].expand(-1, self._n_draws, -1)

    def _write(self, state: _State, logits: torch.Tensor, step: int) -> None:
        """Choose and write the token of every slot, and empty the slots that end with it."""
        at = (state.rows[:, None], state.slots)
        state.tokens = next_tokens(
            logits.flatten(0, 1),
            self._temperatures[at].flatten(),
            self._top_ks[at].flatten(),
            self._uniform[at][..., step].flatten(),
        ).view_as(state.slots)
        self._written[(*at, step)] = state.tokens
        full = step + 1 >= self._limits[state.rows]
        ended = torch.isin(state.tokens, self._ends) | full[:, None]
        state.slots = torch.where(ended, self._n_draws, state.slots)

    def _repack(self, state: _State) -> bool:
        """Drop finished rows and close up the slots if it pays; return whether any draw is left."""
        live = state.slots < self._n_draws
        by_row = live.sum(-1)
        width, height = int(by_row.max()), int((by_row > 0).sum())
        if width * height <= _REPACK_AT * live.numel() and width > 0:
            kept = by_row.nonzero()[:, 0]
            order = (~live).to(torch.uint8).argsort(dim=1, stable=True)[kept, :width]
            places = (kept[:, None], order)
            state.slots, state.tokens = state.slots[places], state.tokens[places]
            state.rows, state.positions = state.rows[kept], state.positions[kept]
            state.cache.keep(kept if height < len(live) else None, places)
        return width > 0

    def _read_tokens(self, state: _State) -> torch.Tensor:
        """Read the newest token of every slot; return the logits, [B, Q, vocabulary]."""
        output = self._model(
            input_ids=state.tokens,
            attention_mask=state.cache.mask,
            position_ids=state.positions[:, None].expand_as(state.slots),
            past_key_values=state.cache,
            use_cache=True,
        )
        state.positions = state.positions + 1
        return output.logits

    def _results(self) -> tuple[list[list[list[int]]], list[list[bool]]]:
        ends = set(self._ends.tolist())
        rows = [
            [_answer(draw, ends) for draw in row]
            for row in self._written[:, : self._n_draws].tolist()
        ]
        tokens = [[answer for answer, _ in row] for row in rows]
        return tokens, [[ended for _, ended in row] for row in rows]


def _answer(written: list[int], ends: set[int]) -> tuple[list[int], bool]:
    """Return the tokens before the first end token, and whether there is one."""
    for place, token in enumerate(written):
        if token in ends or token == _UNWRITTEN:
            return written[:place], token in ends
    return written, False


def _top_k(setting: Setting, model: PreTrainedModel) -> int:
    """Return the top-k that decides: none where nothing is random, at most all tokens there are."""
    vocabulary = model.config.get_text_config().vocab_size
    return min(setting.top_k, vocabulary) if setting.temperature > 0 else 0
