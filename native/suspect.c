/* Whether bytes of a record may hold a secret by its pattern: one look at each byte, looser than the patterns themselves
 * (aftertrace/agent/patterns.py), so that the agent decodes only what is worth it. A text stands in a record as its UTF-8. */
#include "suspect.h"

#include <strings.h>

#include "redact.h"

#define NAME_MOST 64
#define CARD_LEAST 13

typedef struct {
    const uint8_t *start, *end;
} Span;

/* What the issuers of tokens begin them with, and other beginnings. Letters of the second list count in either case. */
static const char *const BEGINNINGS[] = {
    "AKIA", "ASIA", "ABIA", "ACCA", "AIza", "AGE-SECRET-KEY-", "GOCSPX-", "SG.", "dckr_pat_", "discord.com/api/webhooks/", "dop_v1_", "dp.pt.",
    "dp.st.", "eyJ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "gl", "hf_", "hooks.slack.com/", "hvs.", "hvb.", "lin_api_", "npm_",
    "pypi-AgE", "rk_live_", "rk_test_", "rubygems_", "shpat_", "shpca_", "shppa_", "shpss_", "sk-", "sk_live_", "sk_test_", "whsec_", "xapp-",
    "xox", "ya29.", "-----BEGIN", NULL,
};
static const char *const WORDS[] = {"bearer", "basic", "identified by", "insert into", NULL};

static uint8_t first_of[256]; /* 1: some beginning begins so; 2: some word */

static int begins(const uint8_t *p, const Span *in, const char *with, int caseless)
{
    size_t n = strlen(with);
    if ((size_t)(in->end - p) < n)
        return 0;
    return caseless ? !strncasecmp((const char *)p, with, n) : !memcmp(p, with, n);
}

static int begins_any(const uint8_t *p, const Span *in, const char *const *list, int caseless)
{
    for (; *list; list++)
        if (begins(p, in, *list, caseless))
            return 1;
    return 0;
}

static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static int is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static int is_letter(uint8_t c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static int is_name(uint8_t c) { return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '-'; }

static int is_sensitive(const uint8_t *name, const uint8_t *end)
{
    return end - name >= 2 && redact_text((const char *)name, (size_t)(end - name));
}

/* Whether a sensitive name stands before `p`, maybe in quotes. What stands before the text, its length, may look like letters. */
static int is_named(const uint8_t *p, const Span *in)
{
    const uint8_t *end = p;
    for (int i = 0; i < 2 && end > in->start && is_space(end[-1]); i++)
        end--;
    for (int i = 0; i < 4 && end > in->start && (end[-1] == '"' || end[-1] == '\'' || end[-1] == '`' || end[-1] == '\\'); i++)
        end--;
    const uint8_t *name = end;
    while (name > in->start && end - name < NAME_MOST && is_name(name[-1]))
        name--;
    for (int i = 0; i < 3 && name < end; i++, name++)
        if (is_sensitive(name, end))
            return 1;
    return 0;
}

/* A sensitive name at `p`: of an option (--password x), of an element (<password>). */
static int is_name_at(const uint8_t *p, const Span *in)
{
    const uint8_t *end = p;
    while (end < in->end && end - p < NAME_MOST && is_name(*end))
        end++;
    return is_sensitive(p, end);
}

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* `p` is a digit, none before it: digits in groups, one space or hyphen between them. */
static int is_long_number(const uint8_t *p, const Span *in)
{
    int n = 0;
    for (; p < in->end; p++) {
        if (is_digit(*p))
            n++;
        else if (!(*p == ' ' || *p == '-') || p + 1 == in->end || !is_digit(p[1]))
            break;
    }
    return n >= CARD_LEAST;
}

/* "://user:password" behind whose end the text may be cut; a port is none. `p` is the first colon. */
static int has_password(const uint8_t *p, const Span *in)
{
    if (in->end - p < 4 || p[1] != '/' || p[2] != '/')
        return 0;
    for (p += 3; p < in->end && !is_space(*p) && *p != '/'; p++)
        if (*p == ':') {
            const uint8_t *port = skip_digits(p + 1, in->end);
            return port - p > 6 || (port < in->end && is_name(*port));
        }
    return 0;
}

/* An INT (docs/format.md) that is as long as a card's number and begins as one may. */
static int is_card_int(const uint8_t *p, const Span *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 10 && p + 1 + i < in->end; i++) {
        v |= (uint64_t)(p[1 + i] & 0x7f) << (7 * i);
        if (!(p[1 + i] & 0x80)) {
            v >>= 1;
            if (v < 1000000000000u)
                return 0;
            while (v >= 10)
                v /= 10;
            return v > 1 && v < 9;
        }
    }
    return 0;
}

static int is_suspicious_at(const uint8_t *p, const Span *in)
{
    switch (*p) {
    case '@':
        return 1;
    case '%':
        return begins(p, in, "%40", 0) || (begins(p, in, "%3d", 1) && is_named(p, in));
    case ':':
        return is_named(p, in) || has_password(p, in) || begins(p, in, ":AA", 0);
    case '=':
    case '\'':
        return is_named(p, in);
    case '<':
        return is_name_at(p + 1, in);
    case '-':
        return in->end - p > 4 && p[1] == '-' && is_name_at(p + 2, in);
    case 6:
        return is_card_int(p, in);
    default:
        return is_digit(*p) && (p == in->start || !is_digit(p[-1])) && is_long_number(p, in);
    }
}

static void learn(void)
{
    for (const char *const *list = BEGINNINGS; *list; list++)
        first_of[(uint8_t)**list] |= 1;
    for (const char *const *list = WORDS; *list; list++) {
        first_of[(uint8_t)**list] |= 2;
        first_of[(uint8_t)**list & ~32] |= 2;
    }
    for (const char *p = "@%:='<-\x06" "0123456789"; *p; p++)
        first_of[(uint8_t)*p] |= 4;
}

int suspect(const uint8_t *data, size_t n)
{
    Span in = {data, data + n};
    if (!first_of['@'])
        learn();
    for (const uint8_t *p = data; p < in.end; p++) {
        uint8_t first = first_of[*p];
        if (first
            && ((first & 4 && is_suspicious_at(p, &in)) || (first & 1 && begins_any(p, &in, BEGINNINGS, 0))
                || (first & 2 && begins_any(p, &in, WORDS, 1))))
            return 1;
    }
    return 0;
}
