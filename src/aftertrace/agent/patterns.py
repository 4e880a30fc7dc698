"""What a secret looks like in a text: D5's patterns, and a value that stands behind its name (``password=...``).

Each is replaced by ``<redacted:kind>``; the same secret gives the same marker everywhere, and a marker is no secret. Of
what a name hides only values that can be one go: ``token=None``, ``password: required`` and ``secret=%s`` stay.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from aftertrace._native import sensitive_name

type Mark = Callable[[str, str], str]  # (kind, secret) -> what stands in its place

# -- by its form

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_BEARER = re.compile(r"(?i)\bbearer(?:\s|%20|\+)+([a-z0-9._~+/=-]{8,})")
_BASIC = re.compile(r"\b(?:Basic|basic|BASIC)(?:\s|%20|\+)+([A-Za-z0-9+/_-]{8,}={0,2})")
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){0,3}")
_CREDENTIALS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,20}://([^\s/?#@'\"<>]{0,256}:[^\s/?#'\"<>]{1,256})@")
_CUT_CREDENTIALS = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]{1,20}://([^\s/?#@:'\"<>]{0,256}:(?![0-9]{1,5}\Z)[^\s/?#@'\"<>]{1,256})\Z"
)
_AUTHORITY = re.compile(
    r"(?<![^\s\"'(=,<])([^\s:/@,;\[({\"'<]{0,128}:[^\s:/@\"'<>]{1,256})@(?!sha[0-9])"
    r"[A-Za-z0-9.-]{1,255}(?::[0-9]{1,5})?(?![\w@/:-])"
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])(?!git@)[A-Za-z0-9._+-](?:[A-Za-z0-9._+-]|%(?!40)){0,63}(?:@|%40)(?:[A-Za-z0-9-]{1,63}\.){1,8}"
    r"(?!(?:png|jpe?g|gif|svg|webp|ico|css|js|json|html?|py|so|md|txt)\b)[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_TOKENS = (  # issuers' own prefixes
    ("aws-key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    ("github-token", r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"),
    ("gitlab-token", r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_-]{20,}"),
    ("slack-token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    ("google-key", r"AIza[A-Za-z0-9_-]{32,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"),
    ("stripe-key", r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}"),
    ("api-key", r"sk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    (
        "package-token",
        r"npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{16,}|dckr_pat_[A-Za-z0-9_-]{20,}|rubygems_[a-f0-9]{48}",
    ),
    (
        "hub-token",
        r"hf_[A-Za-z0-9]{30,}|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_api_[A-Za-z0-9]{32,}",
    ),
    ("vault-token", r"hv[sb]\.[A-Za-z0-9_-]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{20,}|dp\.(?:pt|st)\.[A-Za-z0-9]{20,}"),
    ("bot-token", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
)
_TOKEN = re.compile("(?<![A-Za-z0-9_-])(?:" + "|".join(f"({form})" for _, form in _TOKENS) + ")(?![A-Za-z0-9])")
_WEBHOOK = re.compile(
    r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/_-]{8,}|(?<=discord\.com/api/webhooks/)[0-9]+/[A-Za-z0-9_-]{8,}"
)

# -- by its name

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]{1,63}"
_ASSIGNED = re.compile(
    rf"(?:(?<![A-Za-z0-9_.%])|(?<=%26)|(?<=%3[fF]))(\\{{0,3}}[\"'`]?)({_NAME})\1(\s{{0,2}}(?:=>|=|%3[dD]|:)\s{{0,2}})"
    r"(?:b?(\\{0,3}[\"'])((?:(?!\4)(?:\\.|[^\\]|\\\Z))*)|([^\s&;,\"'<>()\[\]{}|]+))",
    re.DOTALL,
)
_OPTION = re.compile(rf"(?<![A-Za-z0-9_-])--({_NAME})\s+([^\s\"'-][^\s\"']*)")
_ELEMENT = re.compile(rf"<({_NAME})(?:\s[^<>]*)?>([^<>]+)(?=</)")
_AUTHORIZATION = re.compile(
    r"(?i)\bauthorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?"
    r"(?:(?:basic|bearer|digest|token|apikey|negotiate|aws4-hmac-sha256)\s+)?+([^\s\"'<>][^\"'<>\r\n]*)"
)
_COOKIE = re.compile(r"(?i)(?<![a-z0-9_-])(?:set-)?cookie:[ \t]{0,2}([^\r\n\"']+)")
_SQL = re.compile(r"(?i)\b(?:identified\s+by|(?:with|encrypted)\s+password|password)\s+'((?:[^']|'')+)")
_INSERT = re.compile(r"(?is)\binsert\s+into\s+[^\s(]+\s*\(([^()]{1,2000})\)\s*values\s*\(")
_VALUE = re.compile(r"\s*('(?:[^']|'')*'?|[^,()']+)\s*,?")
_NONE = {
    "none", "null", "nil", "true", "false", "undefined", "required", "optional", "invalid", "missing", "expired",
    "empty", "str", "string", "int", "bytes", "value", "default", "hidden", "redacted", "basic", "bearer", "digest",
    "negotiate", "session", "self",
}  # fmt: skip
_PLACE = re.compile(r"%s|%r|%\(\w+\)s|\{.*|\$\d+|\$\{?\w+\}?|:\w+|\?+|<.*|[*.•]+|[xX]{3,}|%[dif]?", re.DOTALL)

# -- cards

_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ -]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
_ISSUERS = (  # digits that a number begins with -> its lengths
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"6011|64[4-9]|65|62|81"), {16, 17, 18, 19}),
    (re.compile(r"3(?:0[0-5]|[689])"), {14, 16, 17, 18, 19}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16, 17, 18, 19}),
    (re.compile(r"50(?:18|20|38)|5893|6304|6759|676[1-3]"), {13, 14, 15, 16, 17, 18, 19}),
)
_LONGEST = 19  # digits of a number, each a group of its own perhaps
_DOUBLED = [digit * 2 - 9 * (digit > 4) for digit in range(10)]
_HEX = frozenset("0123456789abcdefABCDEF-")


def _lengths(digits: str) -> set[int]:
    """How many digits a card's number may have that begins so."""
    return next((lengths for begins, lengths in _ISSUERS if begins.match(digits)), set())


def _luhn(digits: str) -> bool:
    return (sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def is_card(digits: str) -> bool:
    """Begins as an issuer's numbers do, is as long as they are, and has Luhn's sum."""
    return len(digits) in _lengths(digits) and _luhn(digits)


def _in_hash(string: str, start: int, end: int) -> bool:
    """Whether some digits are part of a longer hexadecimal number or of a UUID."""
    first, last = max(start - 24, 0), min(end + 24, len(string))
    while start > first and string[start - 1] in _HEX:
        start -= 1
    while end < last and string[end] in _HEX:
        end += 1
    return end - start >= 24 and any(char.isalpha() for char in string[start:end])


def _card_end(run: str, groups: list[tuple[int, int]]) -> int:
    """Where a card's number ends that begins with the first of some groups of digits; 0: none does."""
    digits = ""
    lengths = _lengths("".join(run[start:end] for start, end in groups[:6]))
    for start, end in groups if lengths else ():
        digits += run[start:end]
        if len(digits) > _LONGEST:
            break
        if len(digits) in lengths and _luhn(digits):
            return end
    return 0


def _cards(string: str, mark: Mark) -> str:
    def of_run(match: re.Match[str]) -> str:
        """A run of digits in groups: each stretch of whole groups that is a card's number is replaced."""
        run = match.group()
        groups = [(found.start(), found.end()) for found in _GROUP.finditer(run)]
        out, done, first = "", 0, 0
        while first < len(groups):
            start = groups[first][0]
            end = _card_end(run, groups[first : first + _LONGEST])
            if end and not _in_hash(string, match.start() + start, match.start() + end):
                out, done = f"{out}{run[done:start]}{mark('card', run[start:end])}", end
            first += 1
            while first < len(groups) and groups[first][0] < end:
                first += 1
        return out + run[done:]

    return _DIGITS.sub(of_run, string)


# -- replacing


def _sub(form: re.Pattern[str], kind: str, string: str, mark: Mark, ok: Callable[[str], bool] = lambda _: True) -> str:
    """The first group (the whole match, where the form has none) of each match, where ``ok`` says so."""
    group = 1 if form.groups else 0

    def one(match: re.Match[str]) -> str:
        whole, secret = match.group(), match.group(group)
        if "<redacted:" in secret or not ok(secret):
            return whole
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return whole[:start] + mark(kind, secret) + whole[end:]

    return form.sub(one, string)


def _is_basic(secret: str) -> bool:
    """Base64 of ``user:password``."""
    try:
        found = base64.b64decode(
            secret + "=" * (-len(secret) % 4), altchars=b"-_" if {"-", "_"} & set(secret) else None
        )
        return ":" in found.decode()
    except (binascii.Error, ValueError):
        return False


def _is_token(secret: str) -> bool:
    """No word of a sentence."""
    return len(secret) >= 20 or any(map(str.isdigit, secret)) or "." in secret[:-1]


def _tokens(string: str, mark: Mark) -> str:
    return _TOKEN.sub(lambda match: mark(_TOKENS[(match.lastindex or 1) - 1][0], match.group()), string)


def _is_value(value: str) -> bool:
    """Whether it can be a secret: no placeholder, no word that says that there is none."""
    return bool(value) and value.lower().rstrip(".!:,") not in _NONE and not _PLACE.fullmatch(value)


def _is_said(value: str) -> bool:
    """Whether what stands behind ``name: `` in a sentence can be a secret: words are not, letters with digits are."""
    if not _is_value(value) or "://" in value:
        return False
    kinds = (any(map(str.isdigit, value)), any(map(str.isalpha, value)), not value.rstrip(".!?:").isalnum())
    return len(value) >= 3 and kinds[0] and (len(value) >= 6 or not kinds[1])


def _assigned(string: str, mark: Mark, *, code: bool) -> str:
    """What stands behind another name may hold a sensitive one: it is looked at, too."""
    out, done, at = "", 0, 0
    while match := _ASSIGNED.search(string, at):
        quote, name, sign, _, _, bare = match.groups()
        at, group = match.end(3), 5 if bare is None else 6
        if not sensitive_name(name) or (code and bare is not None):
            continue
        secret, surely = match.group(group), bare is None or bool(quote) or ":" not in sign
        if _is_value(secret) if surely else _is_said(secret):
            out, done = f"{out}{string[done : match.start(group)]}{mark('value', secret)}", match.end(group)
            at = done
    return out + string[done:]


def _named(string: str, mark: Mark, *, code: bool) -> str:
    """Values that stand behind a sensitive name: assigned, as an option, as an element, in SQL."""

    def behind(match: re.Match[str]) -> str:
        name, secret = match.groups()
        if not sensitive_name(name) or not _is_value(secret):
            return match.group()
        start = match.start(2) - match.start()
        return match.group()[:start] + mark("value", secret) + match.group()[start + len(secret) :]

    string = _assigned(string, mark, code=code)
    if not code:
        string = _ELEMENT.sub(behind, _OPTION.sub(behind, string))
    return _inserted(_sub(_SQL, "value", string, mark, _is_value), mark)


def _inserted(string: str, mark: Mark) -> str:
    """``INSERT INTO t (name, password) VALUES ('ann', '...')``."""
    match = _INSERT.search(string)
    if match is None:
        return string
    at, out = match.end(), string[: match.end()]
    for column in match.group(1).split(","):
        value = _VALUE.match(string, at)
        if value is None:
            break
        inner, found = value.group(1).strip("'"), value.group()
        secret = sensitive_name(column.strip(' "`[]\n')) and _is_value(inner.strip())
        out += found.replace(inner, mark("value", inner), 1) if secret else found
        at = value.end()
    return out + string[at:]


def marker(kind: str, _secret: str) -> str:
    return f"<redacted:{kind}>"


def _headers(string: str, mark: Mark) -> str:
    if "ookie:" in string or "OOKIE:" in string:
        string = _sub(_COOKIE, "cookie", string, mark)
    if "uthorization" in string or "UTHORIZATION" in string:
        string = _sub(_AUTHORIZATION, "value", string, mark, _is_value)
    return string


def text(string: str, mark: Mark = marker, *, cut: bool = False, code: bool = False) -> str:
    """The text with its secrets replaced. ``cut``: its end is missing, and may be what a secret is known by. ``code``:
    it is a program's, so that only literals behind a name are values."""
    if "-----BEGIN" in string:
        string = _sub(_PRIVATE_KEY, "private-key", string, mark)
    if ":" in string and ("@" in string or cut):
        string = _sub(_CREDENTIALS, "credentials", string, mark)
        string = _sub(_AUTHORITY, "credentials", string, mark)
        string = _sub(_CUT_CREDENTIALS, "credentials", string, mark) if cut else string
    string = _sub(_BEARER, "bearer", string, mark, _is_token)
    if "eyJ" in string:
        string = _sub(_JWT, "jwt", string, mark)
    string = _sub(_BASIC, "basic", string, mark, _is_basic)
    string = _tokens(string, mark)
    if "hooks" in string:
        string = _sub(_WEBHOOK, "webhook", string, mark)
    if not code:
        string = _headers(string, mark)
    if any(sign in string for sign in ("=", ":", "'", "--", "</", "%3")):
        string = _named(string, mark, code=code)
    if "@" in string or "%40" in string:
        string = _sub(_EMAIL, "email", string, mark)
    return _cards(string, mark)
