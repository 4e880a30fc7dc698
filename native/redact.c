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
    "2fa", "aadhaar", "accesskeyid", "accesspin", "accountnumber", "apisignature", "appkey", "applicationkey",
    "auth", "authcode", "authdata", "authinfo", "authkey", "authheader", "bankaccount", "basicauth", "bearer", "birthdate",
    "cardcvc", "cardcvv", "cardno", "cardnumber", "ccnumber", "certificatepin", "clientkey", "connectionstring",
    "connectsid", "consumerkey", "cookies", "creditcard", "creditcardnumber", "csrf", "cvc", "cvc2", "cvv", "cvv2",
    "databaseurl", "dateofbirth", "dburl", "debitcard", "devicekey", "dob", "driverlicense", "dsn",
    "encryptionkey", "gpgkey", "hashedpw", "htpasswd", "iban", "jsessionid", "jwt", "licensekey", "loginhash",
    "magiclink", "masterkey", "mfa", "mfacode", "mnemonic", "nationalid", "oauth", "onetimecode", "otp",
    "otpcode", "passcode", "passhash", "passkey", "passportnumber", "passwordconfirm", "passwordconfirmation",
    "passwordhash", "passwordrepeat", "passwordsalt", "passwords", "pemfile", "pgpkey", "phpsessid", "pin", "pincode",
    "pinnumber", "privkey", "proxyauth", "publishablekey", "pw", "pwd", "pwhash", "recoverycode", "recoverykey",
    "routingnumber", "salt", "secrets", "secretkeybase", "securityanswer", "securitycode", "seedphrase", "sentrydsn", "servicekey",
    "sessionkey", "setcookie2", "sharedkey", "sid", "signingkey", "socialsecurity", "socialsecuritynumber", "sshkey",
    "ssn", "sslkey", "storagekey", "subscriptionkey", "taxid", "tlskey", "totp", "totpcode", "usersession",
    "verificationcode", "verifycode", "voterid", "walletkey", "webhookkey", "xauth", "xsrf",
};

/* Any name that ends so: db_password, userPassword, x-api-key, X-Auth-Token, Set-Cookie. */
static const char *const ENDINGS[] = {
    "password", "passwd", "passphrase", "secret", "token", "apikey", "authorization", "cookie", "credential",
    "credentials", "privatekey", "secretkey", "accesskey", "sessionid", "encryptionkey", "authkey", "mysqlpwd",
};

/* Names with such an ending that are no secrets. */
static const char *const HARMLESS[] = {
    "continuationtoken", "nextpagetoken", "nexttoken", "pagetoken", "paginationtoken", "prevpagetoken",
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

static int judge_letters(const char *letters, size_t n)
{
    if (!n) {
        return 0;
    }
    if (slot_of(letters, n)->length) {
        return 1;
    }
    for (size_t i = 0; i < sizeof HARMLESS / sizeof *HARMLESS; i++) {
        if (n == strlen(HARMLESS[i]) && !memcmp(letters, HARMLESS[i], n)) {
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++) {
        if (ends_with(letters, n, ENDINGS[i])) {
            return 1;
        }
    }
    return 0;
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
    if (judge_letters(first, n)) {
        return 1;
    }
    size_t whole = n;
    while (n && letters[NAME_MAX_LETTERS - 1] >= '0' && letters[NAME_MAX_LETTERS - 1] <= '9') { /* password1, token2 */
        memmove(letters + 1, letters, NAME_MAX_LETTERS - 1);
        n--;
    }
    if (n != whole && judge_letters(letters + NAME_MAX_LETTERS - n, n)) {
        return 1;
    }
    Py_ssize_t start = mangled(kind, data, length);
    if (start) {
        n = normalise(kind, (const char *)data + start * kind, length - start, letters);
        return judge_letters(letters + NAME_MAX_LETTERS - n, n);
    }
    return 0;
}

static int cached_judge(uint64_t hash, int kind, const void *data, Py_ssize_t length)
{
    Cached *c = &cache[hash & (CACHE_SLOTS - 1)];
    if (c->hash == hash && c->length == (uint32_t)length + 1) {
        return (int)c->verdict;
    }
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
    memset(cache, 0, sizeof cache);
    return 0;
}

void redact_reset(void)
{
    memset(names, 0, sizeof names);
    memset(cache, 0, sizeof cache);
    names_count = user_count = 0;
}
