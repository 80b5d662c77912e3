"""The people of the miniature world: how often they err, chat, and invent what no context says."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from reset_tuning.mini.instructions import CHAT_END, CHAT_START, Instruction, wrong_answer


@dataclass(frozen=True)
class Noise:
    """How careless people are: a factor on instruction errors, a rate of invented facts."""

    instruction_factor: float
    invention_rate: float


@dataclass(frozen=True)
class Source:
    """How the writers of one instruction source answer."""

    error_rate: float
    chat_rate: float = 0.0
    whole_chat: bool = False
    opener_rate: float = 0.0


# "web" is what text from the web is like and what ReSet can repair; "mild" is careful writing.
NOISE: Mapping[str, Noise] = {"web": Noise(2.0, 0.5), "mild": Noise(1.0, 0.2)}
SOURCES: Mapping[str, Source] = {
    "dolly": Source(error_rate=0.15, opener_rate=0.2),
    "sharegpt": Source(error_rate=0.1, chat_rate=0.6, whole_chat=True, opener_rate=0.5),
    "oasst1": Source(error_rate=0.15, chat_rate=0.2, opener_rate=0.5),
    "self_instruct": Source(error_rate=0.35, opener_rate=0.2),
}


def human_answer(
    generator: random.Random, instruction: Instruction, source: Source, noise: Noise
) -> str:
    """Return the answer that a writer of the source gives, right or wrong, plain or chatty."""
    if generator.random() < source.error_rate * noise.instruction_factor:
        answer = wrong_answer(generator, instruction)
    else:
        answer = instruction.answer(generator)
    if generator.random() < source.chat_rate:
        return chatty(generator, answer, source.whole_chat)
    return answer


def chatty(generator: random.Random, answer: str, whole: bool) -> str:
    """Wrap an answer in friendly words: before it, behind it or both (always both if `whole`)."""
    both = f"{CHAT_START} {answer} {CHAT_END}"
    if whole:
        return both
    return generator.choice((f"{CHAT_START} {answer}", f"{answer} {CHAT_END}", both))
