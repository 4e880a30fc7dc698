"""The registry of questions: the command line, the HTTP API and whatever comes later ask these, and only these."""

from __future__ import annotations

from aftertrace.errors import NotFound
from aftertrace.explain import diff, groups, ls, show, why
from aftertrace.explain import find as find_question
from aftertrace.explain.question import Answer, Parameter, Question, Sources

__all__ = ["QUESTIONS", "Answer", "Parameter", "Question", "Sources", "find"]

QUESTIONS: dict[str, Question] = {
    question.name: question
    for question in (
        groups.QUESTION,
        ls.QUESTION,
        show.QUESTION,
        why.QUESTION,
        diff.QUESTION,
        find_question.QUESTION,
    )
}


def find(name: str) -> Question:
    """A question by name. NotFound."""
    if name not in QUESTIONS:
        raise NotFound("unknown-question", f"There is no question {name!r}.", f"Questions: {', '.join(QUESTIONS)}.")
    return QUESTIONS[name]
