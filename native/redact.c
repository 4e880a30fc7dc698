/* Names that hide their values: an exact list, strong endings, and the user's own names. */
#include "redact.h"

#include <stdint.h>
#include <string.h>

#define NAME_MAX_LETTERS 64 /* of a longer name, the last 64 letters count */
#define SET_SLOTS 2048      /* power of two, at least twice NAMES_MAX */
#define NAMES_MAX 700
#define USER_MAX 512
#define CACHE_SLOTS 1024

/* Written as they are compared: lower case, no separators. */
static const char *const SENSITIVE[] = {
    "2fa", "aadhaar", "accesspin", "accountkey", "adminpass", "aeskey", "apisignature", "appkey", "applicationkey",
    "assertion", "auth", "authcode", "authdata", "authinfo", "authheader", "authorizationcode", "authorizationheader",
    "authpass", "backupcodes", "bankaccount", "basicauth", "bearer", "birthdate", "cardcvc", "cardcvv", "cardno", "cardnum",
    "ccnum", "ccnumber", "certificatepin", "cipherkey", "clientassertion", "clientkey", "codeverifier", "connectsid",
    "consumerkey", "cookies", "creditcard", "creditcardno", "csrf", "cvc", "cvc2", "cvv", "cvv2", "dateofbirth", "dbpass",
    "dburl", "debitcard", "devicekey", "dob", "driverlicense", "driverlicensenumber", "dsakey", "dsn", "ecdsakey", "fernetkey",
    "ftppass", "gpgkey", "hashedpw", "hmackey", "htpasswd", "iban", "jsessionid", "jwt", "jwtkey", "keypass", "kmskey",
    "ldappass", "licensekey", "loginhash", "magiclink", "mailpass", "masterkey", "mfa", "mfacode", "mnemonic", "mongopass",
    "mysqlpass", "nationalid", "newpass", "oauth", "oldpass", "onetimecode", "otp", "otpcode", "pass", "passcode", "passhash",
    "passkey", "passportno", "passportnumber", "passwordconfirm", "passwordconfirmation", "passwordrepeat", "pemfile", "pgpass",
    "pgpkey", "phpsessid", "pin", "pincode", "pinnumber", "postgrespass", "primaryaccountnumber", "privkey", "proxyauth",
    "proxypass", "publishablekey", "pw", "pwd", "pwhash", "recoverycode", "recoverycodes", "recoverykey", "redispass",
    "rootpass", "routingnumber", "rsakey", "salt", "samlresponse", "secretkeybase", "secretstring", "securityanswer",
    "seedphrase", "sentrydsn", "servicekey", "sessid", "sessionkey", "setcookie2", "sharedkey", "sid", "signingkey", "smscode",
    "smtppass", "socialsecurity", "socialsecuritynumber", "sshkey", "sshpass", "ssn", "sslkey", "storagekey", "storepass",
    "subscriptionkey", "taxid", "tlskey", "totp", "totpcode", "userinfo", "userpass", "usersession", "verificationcode",
    "verifycode", "voterid", "walletkey", "webhookkey", "xamzsignature", "xauth", "xcsrf", "xsrf",
};

/* Any name that ends so: db_password, userPassword, x-api-key, X-Auth-Token, Set-Cookie. */
static const char *const ENDINGS[] = {
    "password", "passwords", "passwd", "passphrase", "passwordhash", "passwordsalt", "secret", "secrets", "secretvalue", "token",
    "accesstokens", "refreshtokens", "authtokens", "apitokens", "sessiontokens", "apikey", "apikeys", "authorization", "cookie",
    "credential", "credentials", "privatekey", "privatekeys", "privatekeypem", "secretkey", "secretkeys", "accesskey", "accesskeys",
    "accesskeyid", "sessionid", "encryptionkey", "authkey", "mysqlpwd", "accountnumber", "cardnumber", "securitycode",
    "connectionstring", "databaseurl",
};

/* Any name whose last word is one of these: customer_ssn, cardCVV, login-otp. */
static const char *const LAST_WORDS[] = {"ssn", "cvv", "cvc", "cvv2", "cvc2", "otp", "totp", "jwt", "iban", "pwd", "passcode"};

/* Names with such an ending that are no secrets. */
static const char *const HARMLESS[] = {
    "continuationtoken", "nextpagetoken", "nexttoken", "pagetoken", "paginationtoken", "prevpagetoken", "oldpwd",
    "nosecret", "issecret", "haspassword", "hastoken", "ispassword", "needspassword", "usepassword", "requirespassword",
};

typedef struct {
    uint64_t hash;
    uint8_t length; /* 0: free */
    char text[NAME_MAX_LETTERS];
} Name;

typedef struct {
    uint64_t hash;
    uint32_t length; /* code points or bytes + 1; 0: free */
    uint32_t verdict;
} Cached;

static Name names[SET_SLOTS];
static unsigned names_count, user_count;
static Cached cache[CACHE_SLOTS];

static uint64_t fnv1a(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
    }
    return h;
}

static Name *slot_of(const char *letters, size_t n)
{
    uint64_t hash = fnv1a(letters, n);
    for (uint64_t i = hash;; i++) {
        Name *name = &names[i & (SET_SLOTS - 1)];
        if (!name->length || (name->hash == hash && name->length == n && !memcmp(name->text, letters, n))) {
            return name;
        }
    }
}

static int remember(const char *letters, size_t n)
{
    Name *name = slot_of(letters, n);
    if (name->length) {
        return 0;
    }
    if (names_count >= NAMES_MAX) {
        return -1;
    }
    name->hash = fnv1a(letters, n);
    name->length = (uint8_t)n;
    memcpy(name->text, letters, n);
    names_count++;
    return 0;
}

static void ensure_list(void)
{
    if (!names_count) {
        for (size_t i = 0; i < sizeof SENSITIVE / sizeof *SENSITIVE; i++) {
            remember(SENSITIVE[i], strlen(SENSITIVE[i]));
        }
    }
}

static int is_separator(unsigned c) { return c == '_' || c == '-' || c == '.' || c == ' '; }

/* Normalises up to `max` code points' worth of ASCII, last letters first, into the end of `letters`; returns how many. Code points
 * beyond ASCII stay as one byte 0x80, which matches nothing. */
static size_t normalise(int kind, const void *data, Py_ssize_t length, char letters[NAME_MAX_LETTERS])
{
    size_t n = 0;
    for (Py_ssize_t i = length; i-- > 0 && n < NAME_MAX_LETTERS;) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (!is_separator(c)) {
            char letter = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c < 0x80 ? (char)c : (char)0x80;
            letters[NAME_MAX_LETTERS - ++n] = letter;
        }
    }
    return n;
}

static int ends_with(const char *letters, size_t n, const char *ending)
{
    size_t m = strlen(ending);
    return n >= m && !memcmp(letters + n - m, ending, m);
}

static int is_one_of(const char *const *list, size_t count, const char *letters, size_t n)
{
    for (size_t i = 0; i < count; i++) {
        if (n == strlen(list[i]) && !memcmp(letters, list[i], n)) {
            return 1;
        }
    }
    return 0;
}

#define IS_ONE_OF(list, letters, n) is_one_of(list, sizeof list / sizeof *list, letters, n)

/* A name's letters; `last`: how many of them its last word has. */
static int judge_letters(const char *letters, size_t n, size_t last)
{
    if (!n) {
        return 0;
    }
    if (slot_of(letters, n)->length) {
        return 1;
    }
    if (IS_ONE_OF(HARMLESS, letters, n)) {
        return 0;
    }
    if (last <= n && IS_ONE_OF(LAST_WORDS, letters + n - last, last)) {
        return 1;
    }
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++) {
        if (ends_with(letters, n, ENDINGS[i])) {
            return 1;
        }
    }
    return 0;
}

static int is_upper(Py_UCS4 c) { return c >= 'A' && c <= 'Z'; }
static int is_lower(Py_UCS4 c) { return c >= 'a' && c <= 'z'; }

/* How many letters the last word of a name has, as separators and capitals divide it; no more than 15 are looked at. */
static size_t last_word(int kind, const void *data, Py_ssize_t length)
{
    size_t n = 0;
    Py_UCS4 later = 0;
    for (Py_ssize_t i = length; i-- > 0 && n < 15; n++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (is_separator(c) || (is_upper(later) && is_lower(c))) {
            break;
        }
        if (is_upper(c) && is_lower(later)) {
            return n + 1;
        }
        later = c;
    }
    return n;
}

/* Where the plain name begins in a mangled one (_Account__pin): 0 when it is not mangled. */
static Py_ssize_t mangled(int kind, const void *data, Py_ssize_t length)
{
    if (length < 5 || PyUnicode_READ(kind, data, 0) != '_' || PyUnicode_READ(kind, data, 1) == '_') {
        return 0;
    }
    for (Py_ssize_t i = 2; i + 2 < length; i++) {
        if (PyUnicode_READ(kind, data, i) == '_' && PyUnicode_READ(kind, data, i + 1) == '_') {
            return i + 2;
        }
    }
    return 0;
}

static int judge(int kind, const void *data, Py_ssize_t length)
{
    char letters[NAME_MAX_LETTERS];
    ensure_list();
    size_t n = normalise(kind, data, length, letters);
    char *first = letters + NAME_MAX_LETTERS - n;
    size_t last = last_word(kind, data, length);
    if (judge_letters(first, n, last)) {
        return 1;
    }
    size_t whole = n;
    while (n && letters[NAME_MAX_LETTERS - 1] >= '0' && letters[NAME_MAX_LETTERS - 1] <= '9') { /* password1, token2 */
        memmove(letters + 1, letters, NAME_MAX_LETTERS - 1);
        n--;
    }
    if (n != whole && judge_letters(letters + NAME_MAX_LETTERS - n, n, 0)) {
        return 1;
    }
    Py_ssize_t start = mangled(kind, data, length);
    if (start) {
        n = normalise(kind, (const char *)data + start * kind, length - start, letters);
        return judge_letters(letters + NAME_MAX_LETTERS - n, n, last);
    }
    return 0;
}

static int cached_judge(uint64_t hash, int kind, const void *data, Py_ssize_t length)
{
    Cached *c = &cache[hash & (CACHE_SLOTS - 1)];
    if (c->hash == hash && c->length == (uint32_t)length + 1) {
        return (int)c->verdict;
    }
    Cached *other = &cache[(hash >> 32) & (CACHE_SLOTS - 1)]; /* names that are used together do not push each other out */
    if (other->hash == hash && other->length == (uint32_t)length + 1) {
        return (int)other->verdict;
    }
    c = c->length ? other : c;
    int verdict = judge(kind, data, length);
    if (length < UINT32_MAX - 1) {
        *c = (Cached){hash, (uint32_t)length + 1, (uint32_t)verdict};
    }
    return verdict;
}

int redact_text(const char *text, size_t n)
{
    if (n > NAME_MAX_LETTERS) {
        return judge(PyUnicode_1BYTE_KIND, text, (Py_ssize_t)n);
    }
    return cached_judge(fnv1a(text, n), PyUnicode_1BYTE_KIND, text, (Py_ssize_t)n);
}

int redact_name(PyObject *name)
{
    PyTypeObject *type = Py_TYPE(name);
    if (type == &PyUnicode_Type || PyType_HasFeature(type, Py_TPFLAGS_UNICODE_SUBCLASS)) {
        int kind = (int)PyUnicode_KIND(name);
        const void *data = PyUnicode_DATA(name);
        Py_ssize_t length = PyUnicode_GET_LENGTH(name);
        Py_hash_t hash = ((PyASCIIObject *)name)->hash; /* -1: nobody asked for it yet, and we do not set it */
        return hash == -1 ? judge(kind, data, length) : cached_judge((uint64_t)hash, kind, data, length);
    }
    if (type == &PyBytes_Type || PyType_HasFeature(type, Py_TPFLAGS_BYTES_SUBCLASS)) {
        return redact_text(((PyBytesObject *)name)->ob_sval, (size_t)Py_SIZE(name));
    }
    return 0;
}

int redact_is_returned(PyObject *o)
{
    const unsigned long HIDDEN = Py_TPFLAGS_UNICODE_SUBCLASS | Py_TPFLAGS_BYTES_SUBCLASS | Py_TPFLAGS_TUPLE_SUBCLASS | Py_TPFLAGS_LIST_SUBCLASS;
    return (Py_TYPE(o)->tp_flags & HIDDEN) && !redact_is_empty(o);
}

uint32_t redact_number;

int redact_add(const char *text, size_t n)
{
    char letters[NAME_MAX_LETTERS];
    ensure_list();
    size_t m = normalise(PyUnicode_1BYTE_KIND, text, (Py_ssize_t)n, letters);
    if (!m) {
        return 0;
    }
    if (user_count >= USER_MAX || remember(letters + NAME_MAX_LETTERS - m, m) < 0) {
        return -1;
    }
    user_count++;
    redact_number = redact_number * 31 + (uint32_t)fnv1a(letters + NAME_MAX_LETTERS - m, m);
    memset(cache, 0, sizeof cache);
    return 0;
}

void redact_reset(void)
{
    memset(names, 0, sizeof names);
    memset(cache, 0, sizeof cache);
    names_count = user_count = 0;
    redact_number = 0;
}
