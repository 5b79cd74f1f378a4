"""What the simulated apps say: system prompts, questions and answers, all made up."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

CHARACTERS_PER_TOKEN = 4  # of plain English, as a rule


@dataclass(frozen=True, slots=True)
class Script:
    """What one app is told, is asked and answers."""

    system: str
    system_after: str  # the system prompt once its fault has begun
    questions: tuple[str, ...]
    subjects: tuple[str, ...]
    sentences: tuple[str, ...]  # each with one {subject}


CHECKOUT = Script(
    system=(
        "You are the checkout assistant of a web shop. Answer in at most five sentences. "
        "Name the price, the delivery day and the next step."
    ),
    system_after=(
        "You are the checkout assistant of a web shop. Explain every step in detail, give the "
        "reasons, compare the alternatives, and close with a summary of what you said."
    ),
    questions=(
        "Can I still change the delivery address of my order?",
        "Why was my voucher not accepted at checkout?",
        "Is express delivery possible for the {subject}?",
        "How do I pay in three instalments for the {subject}?",
        "Will the {subject} arrive before Friday?",
    ),
    subjects=("desk lamp", "rain jacket", "coffee grinder", "bicycle light", "tent", "keyboard"),
    sentences=(
        "The {subject} is in stock and leaves our warehouse today.",
        "Delivery of the {subject} takes two working days.",
        "You can change the address of the {subject} until it is handed to the carrier.",
        "The voucher does not apply to the {subject}, because it is already reduced.",
        "To pay for the {subject} in three parts, choose instalments in the last step.",
        "Express delivery of the {subject} costs 6.90 and can be chosen above the button.",
        "If the {subject} does not fit, you can send it back within thirty days.",
        "I have kept the {subject} in your basket so that you can go on where you stopped.",
    ),
)

SUPPORT = Script(
    system=(
        "You answer support tickets about a home router. Give numbered steps, ask for the model "
        "when it is missing, and never ask for a password."
    ),
    system_after=(
        "You answer support tickets about a home router. Give numbered steps, ask for the model "
        "when it is missing, and never ask for a password."
    ),
    questions=(
        "The {subject} blinks orange since this morning. What can I do?",
        "How do I reset the {subject} without losing my settings?",
        "My laptop does not find the {subject} any more.",
        "The {subject} drops the connection every evening.",
    ),
    subjects=("router", "repeater", "guest network", "mesh point", "modem", "access point"),
    sentences=(
        "First unplug the {subject}, wait for thirty seconds and plug it in again.",
        "Then open the settings page and check whether the {subject} shows a firmware update.",
        "If the light of the {subject} stays orange, press the small button for five seconds.",
        "Write down the name of the {subject} before you reset it, so that devices find it.",
        "Move the {subject} away from the microwave oven, which uses the same band.",
        "Choose channel 36 for the {subject} and save the page.",
        "If this does not help, send us the log of the {subject} from the page called System.",
        "The steps take about ten minutes and nothing stored on the {subject} is lost.",
    ),
)

BILLING = Script(
    system=(
        "You explain invoices to customers of an energy supplier.\n"
        "## Tone\nFriendly and exact.\n"
        "## Amounts\nName each amount with its period and how it was computed.\n"
        "## Refund policy\nWhen a customer paid too much, explain the refund, its date, and the "
        "way to have it paid out instead of set off."
    ),
    system_after=(
        "You explain invoices to customers of an energy supplier.\n"
        "## Tone\nFriendly and exact.\n"
        "## Amounts\nName each amount with its period."
    ),
    questions=(
        "Why is my {subject} higher than last year?",
        "When do I get back what I paid too much on the {subject}?",
        "What does the line about the {subject} on page two mean?",
        "Can I spread the {subject} over more months?",
    ),
    subjects=("annual invoice", "monthly payment", "grid fee", "final invoice", "deposit"),
    sentences=(
        "Your {subject} covers the time from January to December.",
        "The {subject} was computed from the reading of your meter on the last day.",
        "Compared with the year before, the {subject} rose because the price per unit did.",
        "You paid more than the {subject} asks for, so the difference is refunded in March.",
        "The {subject} can be spread over six months without interest.",
        "If the reading behind the {subject} is wrong, send us a photograph of the meter.",
        "Tax is part of the {subject} and stands in its own line.",
        "A new {subject} is sent within a week after a correction.",
    ),
)


def question(script: Script, random: Random) -> str:
    """Return one question, drawn by ``random``."""
    return random.choice(script.questions).format(subject=random.choice(script.subjects))


def answer(script: Script, random: Random, tokens: int, *, cut: bool) -> str:
    """Return an answer of about ``tokens`` tokens; a ``cut`` one ends within a word."""
    subject = random.choice(script.subjects)
    wanted = tokens * CHARACTERS_PER_TOKEN
    first = random.randrange(len(script.sentences))
    said: list[str] = []
    length = 0
    while length < wanted:
        sentence = script.sentences[(first + len(said)) % len(script.sentences)]
        said.append(sentence.format(subject=subject))
        length += len(said[-1]) + 1
    text = " ".join(said)
    return text[: max(wanted - 3, 1)].rstrip(" .") if cut else text
