"""In words, why the text cannot be read on at some place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aftertrace.errors import UsageError
from aftertrace.traceql.wrong import wrong

if TYPE_CHECKING:
    from lark.exceptions import UnexpectedInput

_LATER = ("&>>", "&<<", "&>", "&<", "&~", "!>>", "!<<", "!>", "!<", "!~", "<<", "<", "~")
_MEANT = {"and": "&&", "or": "||", "not": "!( )", "&": "&&", "|": "||", "==": "="}


def refusal(text: str, error: UnexpectedInput) -> UsageError:
    """The error of the tree for one of the parser's."""
    token = getattr(error, "token", None)
    ended = token is not None and token.type == "$END"
    at = len(text) if ended else error.pos_in_stream if error.pos_in_stream is not None else len(text)
    accepted = set(getattr(error, "accepts", None) or getattr(error, "allowed", None) or ())
    if not text.strip():
        return wrong(text, 0, "there is nothing: a query stands in braces")
    why = _ended(accepted) if ended or at >= len(text) else _unexpected(text, at, accepted)
    return wrong(text, at, why)


def _ended(accepted: set[str]) -> str:
    if "OPERATOR" in accepted:
        return "the query ends where a comparison is to come: = != < <= > >= =~ !~"
    if "RBRACE" in accepted:
        return "a brace is not closed"
    if "RPAR" in accepted:
        return "a parenthesis is not closed"
    if "BRACE" in accepted:
        return "the query ends where braces are to come: { ... }"
    return "the query ends where something is to come"


def _unexpected(text: str, at: int, accepted: set[str]) -> str:
    rest = text[at:]
    word = _word(rest)
    between = "CHILD" in accepted  # of spansets
    later = next((one for one in _LATER if rest.startswith(one)), "") if between else ""
    if rest.startswith("|") and not rest.startswith("||") and (between or "AND" not in accepted):
        return "pipelines (| count(), | select() ...) cannot be asked yet"
    if later:
        return f"{later} between braces cannot be asked yet; >> and > can, && and ||"
    if rest.startswith(("&&", "||")) and {"AND", "OR"} & accepted:
        return "&& and || are mixed: put parentheses around what comes first"
    if word in _MEANT or rest.startswith(("&", "|")):
        meant = _MEANT.get(word) or _MEANT[rest[0]]
        return f"{word or rest[0]!r} is written {meant}"
    if rest.startswith("=") and text[at - 1 : at] == "=":
        return "'==' is written ="
    return _sign(text, at, accepted)


def _sign(text: str, at: int, accepted: set[str]) -> str:
    rest = text[at:]
    if rest[0] == "'":
        return "texts stand in double quotes"
    if rest[0] in '"`' and {"TEXT", "WORD", "RAW_TEXT"} & accepted:
        return "a quote is not closed"
    if rest[0] in "+-*/%^" and {"OPERATOR", "AND"} & accepted:
        return "there is no arithmetic yet"
    if accepted == {"LPAR"} and text[:at].rstrip().endswith("!"):
        return "! needs parentheses: !(arg.qty < 0)"
    if "OPERATOR" in accepted:
        return "a comparison is to come: = != < <= > >= =~ !~"
    if accepted <= {"BRACE", "LPAR"}:
        return "braces are to come: { ... }"
    shown = _word(rest) or rest[0]
    return f"{shown[:40]!r} is not expected"


def _word(rest: str) -> str:
    length = next((n for n, one in enumerate(rest) if not (one.isalnum() or one in "_.")), len(rest))
    return rest[:length]
