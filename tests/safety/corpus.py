"""Planted secrets, and texts that look like some and are none.

NAMED: lines of a program in which ``S`` is a secret that a name beside it gives away. PATTERNS: texts in which «...» is
a secret by its form. INNOCENT: texts that must stay as they are. No secret here is anybody's.
"""

from __future__ import annotations

import base64

NAMED = r"""
password = S
user_password = S
passwd = S
pwd = S
new_password2 = S
db_pass = S
passphrase = S
secret = S
client_secret = S
clientSecret = S
secrets = [S]
token = S
access_token = S
refresh_tokens = [S]
csrf_token = S
api_key = S
apikey = S
api_keys = {"prod": S}
private_key = S
credentials = ("ann", S)
credentials = {"who": [S]}
authorization = "Basic " + S
auth_header = S
cookie = "a=" + S
cookies = {"a": S}
session_id = S
sessionid = S.encode()
jwt = S
otp = S
totp_code = S
login_otp = S
card_number = S
cvv = S
cardCVV = S
customer_ssn = S
iban = S
customer_iban = S
passport_number = S
account_number = S
date_of_birth = S
salt = S
hashed_password = S
password_hash = S
recovery_codes = [S]
seed_phrase = S
mnemonic = S
signing_key = S
encryption_key = S
fernet_key = S
hmac_key = S.encode()
connection_string = S
azure_connection_string = S
database_url = S
dsn = S
aws_secret_access_key = S
aws_access_key_id = S
secret_string = S
code_verifier = S
client_assertion = S
security_answer = S
password = (S, S)
password = {"new": S}
password = bytearray(S.encode())
password = Box(S)
password = Text(S)
password = Secretive(S)
user = {"name": "ann", "password": S}
user = {"name": "ann", "Password": S}
user = {"name": "ann", "pass-word": S}
user = {b"password": S.encode()}
user = {"login": {"password": S}}
user = [{"id": 1, "token": S}]
user = ({"id": 1, "api-key": {"value": S}},)
user = {"x-api-key": S}
user = {"auth": {"user": "ann", "value": S}}
form = {"grant_type": "password", "client_secret": S}
body = {"data": {"attributes": {"accessToken": S}}}
params = {"user": "ann", ":password": S}
params = {"p_password": S, "id": 5}
headers = [("authorization", S)]
headers = [("Host", "x"), ("X-Api-Key", S)]
headers = [(b"authorization", b"Bearer " + S.encode())]
headers = [(b"Authorization", b"authorization", S.encode())]
headers = [[b"cookie", S.encode()]]
headers = {"Authorization": "Basic " + S}
headers = {"authorization": ("Authorization", S)}
headers = {"Proxy-Authorization": S}
headers = {"Set-Cookie": [S]}
environ = {"HTTP_AUTHORIZATION": S, "HTTP_HOST": "x"}
environ = {"HTTP_COOKIE": "sid=" + S}
environ = {"HTTP_X_API_KEY": S}
environ = {b"AWS_SECRET_ACCESS_KEY": S.encode()}
environ = {"DJANGO_SECRET_KEY": S, "HOME": "/home/ann"}
environ = {"PGPASSWORD": S}
environ = {"GITHUB_TOKEN": S}
environ = os.environ.copy() | {"MYSQL_PWD": S}
environ = remembered("SLACK_BOT_TOKEN", S)
words = ["psql", "--password", S, "-h", "db"]
words = ("curl", "--oauth2-bearer-token", S)
thing = Account("ann", S)
thing = Slotted("ann", S)
thing = Frozen("ann", S)
thing = Row("ann", S)
thing = types.SimpleNamespace(user="ann", password=S)
thing = argparse.Namespace(user="ann", api_key=S)
thing = types.MappingProxyType({"password": S})
thing = collections.OrderedDict(password=S)
thing = collections.defaultdict(str, token=S)
thing = collections.ChainMap({"password": S})
thing = collections.UserDict(password=S)
thing = Sub({"password": S})
thing = with_attribute("token", S)
thing = with_attribute("_secret", S)
thing = with_attribute("_Account__pin", S)
thing = with_attribute("accessToken", S)
thing = Model(name="ann", password=S)
thing = SecretStr(S)
thing = SecretBytes(S.encode())
thing = Heir(S)
thing = [SecretStr(S)]
thing = Named(S)
thing = failed_with(S)
thing = http_cookie("sessionid", S)
thing = database_row(S)
thing = collections.deque([{"password": S}])
count = len(get_password(S))
count = len(create_access_token(S))
count = len(list(generated_api_keys(S)))
count = len(Account("ann", S).secret)
count = takes(password=S)
count = takes_any(user="ann", token=S)
count = takes_positional(S)
count = closed_over(S)()
log("login", {"password": S})
log("headers %s", [("authorization", S)])
span_attribute("http.request.header.authorization", S)
span_attribute("db.password", S)
event_attribute("token", S)
keep_attribute("api_key", S)
""".strip().splitlines()

_BASIC = base64.b64encode(b"ann:hunter2hunter2").decode()
_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkFubiJ9"
_KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"


def _joined(*parts: str) -> str:
    """Put together, so that no scanner of repositories takes this page for a leak."""
    return "".join(parts)


PATTERNS = [
    "Authorization: Bearer «s3cr3tBearer01abc»",
    "bearer «abcdefghijklmnopqrstuvwx»",
    "got header 'Authorization': 'Bearer «s3cr3tBearer02.abc-x»'",
    f"Basic «{_BASIC}»",
    f"Authorization: Basic «{_BASIC}»",
    "Authorization: Digest «username-ann-digest-response-6629fae49393»",
    "authorization: «opaque-credential-03»",
    "Proxy-Authorization: ApiKey «qwe-rty-uio-04»",
    f"«{_JWT}.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c»",
    f"token={'«' + _JWT + '.sig05sig05sig05»'}&x=1",
    f"jwt «{_JWT}.»",
    f"«-----BEGIN RSA PRIVATE KEY-----\n{_KEY}\n-----END RSA PRIVATE KEY-----»",
    f"«-----BEGIN PRIVATE KEY-----\\n{_KEY}06\\n-----END PRIVATE KEY-----\\n»",
    f"«-----BEGIN OPENSSH PRIVATE KEY-----\n{_KEY}07»",
    f"«-----BEGIN EC PRIVATE KEY-----\n{_KEY * 6}08»",
    f"«-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{_KEY}09\n-----END PGP PRIVATE KEY BLOCK-----»",
    "postgresql://«ann:hunter2pg»@db:5432/shop",
    "redis://«:hunter2redis»@cache:6379/0",
    "amqp://«guest:hunter2amqp»@mq//",
    "mongodb+srv://«ann:hunter2mongo»@cluster0.example.net/x?retryWrites=true",
    "https://«ann:hunter2http»@example.org/a",
    "connect to mysql+pymysql://«root:hunter2@mysql»@127.0.0.1/x failed",
    "«ann:hunter2netloc»@db.internal:5432",
    "https://hooks.slack.com/services/«T00000000/B00000000/XXXXhookXXXXhook10»",
    "https://discord.com/api/webhooks/«123456789012345678/hookhookhookhook11»",
    "4111111111111111".join("«»"),
    "paid with «4111 1111 1111 1111», thanks",
    "card «5555-5555-5555-4444» 12/27",
    "«378282246310005»",
    "«6011111111111117»",
    "«3530111333300000»",
    "«30569309025904»",
    "«2223003122003222»",
    "cards: «4012888888881881», «5105105105105100»",
    "who: «ann.lee@example.org»",
    "«ann+tag@mail.example.co.uk» bounced",
    "user=«ann.lee%40example.net»",
    "To: «bob_99@sub.example.io»; now",
    _joined("«AKIA", "IOSFODNN7EXAMPLE»"),
    _joined("key «ASIA", "IOSFODNN7EXAMPLQ» expired"),
    _joined("«ghp_", "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789»"),
    _joined("«github_pat_", "11AAAAAAA0aBcDeFgHiJkL_aBcDeFgHiJkLmNoP»"),
    _joined("remote: «gho_", "16C7e42F292c6912E7710c838347Ae178B4a»"),
    _joined("«glpat-", "aBcDeFgHiJkLmNoPqRsT»"),
    _joined("«xoxb-", "2048-4096-aBcDeFgHiJkLmNoP»"),
    _joined("«xapp-", "1-A0000-1111-aBcDeFgH»"),
    _joined("«AIza", "SyA1234567890abcdefghijklmnopqrstuvw»"),
    _joined("«ya29.", "a0AfH6SMBaBcDeFgHiJkLmNoP»"),
    _joined("«sk_live_", "4eC39HqLyjWDarjtT1zdp7dc»"),
    _joined("«rk_test_", "4eC39HqLyjWDarjtT1zdp7dd»"),
    _joined("«whsec_", "4eC39HqLyjWDarjtT1zdp7de»"),
    _joined("«sk-", "proj-aBcDeFgHiJkLmNoPqRsTuVwX»"),
    _joined("«sk-", "ant-api03-aBcDeFgHiJkLmNoPqRsTuV»"),
    _joined("«SG.", "aBcDeFgHiJkLmNoPqR.aBcDeFgHiJkLmNoPqRsT»"),
    _joined("«npm_", "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789»"),
    _joined("«pypi-", "AgEIcHlwaS5vcmcCJDEyMzQ1Njc4»"),
    _joined("«hf_", "aBcDeFgHiJkLmNoPqRsTuVwXyZabcdefgh»"),
    _joined("«dop_v1_", "0123456789abcdef" * 4, "»"),
    _joined("«shpat_", "0123456789abcdef" * 2, "»"),
    _joined("«hvs.", "CAESIaBcDeFgHiJkLmNoPqRsT»"),
    _joined("«123456789", ":AAaBcDeFgHiJkLmNoPqRsTuVwXyZ0123456»"),
    _joined("«dckr_pat_", "aBcDeFgHiJkLmNoPqRsTuVw»"),
    "password=«hunter2assigned»",
    "password = «hunter2spaced»",
    "PASSWORD: «hunter2said»",
    "the password is wrong: password='«hunter two quoted»'",
    "User(name='ann', password='«hunter2repr»')",
    "{'user': 'ann', 'password': '«hunter2dict»'}",
    '{"user": "ann", "client_secret": "«hunter2json»"}',
    '{"apiKey":"«hunter2compact»","n":1}',
    'retry with {\\"token\\": \\"«hunter2escaped»\\"}',
    "https://api.example.org/v1/x?api_key=«hunter2query»&page=2",
    "/reset?token=«hunter2reset»",
    "/cb?code=1&access_token=«hunter2callback»#top",
    "a=1&password=«hunter2form»&b=2",
    "q=x%26token%3D«hunter2percent»",
    "https://s3.example.org/k?X-Amz-Signature=«0f1e2d3c4b5a69788796a5b4c3d2e1f0»&X-Amz-Expires=60",
    "export DB_PASSWORD=«hunter2export»",
    "Server=db;User Id=sa;Password=«hunter2ado»;Encrypt=yes",
    "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=«aHVudGVyMmF6dXJlaHVudGVy==»;EndpointSuffix=x",
    "host=db user=ann password=«hunter2libpq» dbname=x",
    "mysqldump --password=«hunter2option» shop",
    "vault login --token «hunter2word» now",
    "Cookie: «sessionid=hunter2cookie; theme=dark»",
    "Set-Cookie: «sid=hunter2set; Path=/; HttpOnly»",
    "X-Api-Key: «hunter2-header-77»",
    "<login><user>ann</user><password>«hunter2xml»</password></login>",
    "UPDATE users SET password = '«hunter2update»' WHERE id = 5",
    "SELECT 1 FROM users WHERE name='ann' AND token='«hunter2where»'",
    "INSERT INTO users (name, password, age) VALUES ('ann', '«hunter2insert»', 5)",
    "CREATE USER ann IDENTIFIED BY '«hunter2identified»'",
    "ALTER ROLE ann WITH PASSWORD '«hunter2alter»'",
    "otp: «493817»",
    "cvv=«123987»",
    "pin=«471199»",
    "login failed: secret_key «»= «hunter2late»",
    "passphrase: «c0rrect-h0rse-battery»",
    "aws_secret_access_key = «wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY»",
]

INNOCENT = """
order 4111111111111112
order-2026-000123456789
1795553679512179734
40005566555666555666666
9007199254740993
1234567890123456
2026-11-24 20:39:23.123456
2026-11-24T20:39:23.123456+00:00
20261124203923
1764016763123456789
550e8400-e29b-41d4-a716-446655440000
6ba7b810-9dad-11d1-80b4-00c04fd430c8
d41d8cd98f00b204e9800998ecf8427e
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
4000056655665556ab4000056655665556cd4000056655665556
da39a3ee5e6b4b0d3255bfef95601890afd80709
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
price 1299.00 EUR, 3 items
total=1299.00
0.4000056655665556
3.141592653589793
1e-07
ISBN 978-3-16-148410-0
+49 30 901820
tel 030 12345678
DE 10115 Berlin
192.168.10.1:8080
2001:db8::ff00:42:8329
00:1b:44:11:3a:b7
http://localhost:8080/a?b=c
http://host:80/x?mail=1
https://example.org:8443/path/to?page=2&size=50
https://example.org/orders/123456789012?sort=asc
postgresql://db:5432/shop
redis://cache:6379/0
amqp://mq:5672//
file:///usr/lib/python3/x.py
s3://bucket/key/part-00001.parquet
user@localhost
@decorator
git@github.com:ann/shop.git
logo@2x.png
pkg@1.2.3
shop:1.2@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
name@sha256:abc
the bearer of news
bearer authentication
a basic understanding
Basic settings
basic auth
token expired
token: expired
token: str
unexpected token ')' at line 3
invalid token: ;
tokens: 1024
max_tokens=4096
token_count=17
token_type=bearer
next_page_token=abc123
password: required
password must be at least 8 characters
password: must contain a digit
password=None
password=%s
password = ?
password = :password
password = $1
token={token}
api_key=<your key>
secret=***
has_password=True
password_changed_at=2026-11-24
token_expires_in=3600
secretary=Ann
author=Ann Lee
authority=eu-west-1
key=value
primary_key=42
sort_key=created
keyboard=qwerty
passenger=Ann
pinned=3
session=open
cookie_count=3
user=ann
username=ann.lee
monkey=7
SELECT id, password FROM users WHERE id = ?
SELECT * FROM orders WHERE total > 100 AND name = 'ann'
INSERT INTO orders (id, name) VALUES (7, 'ann')
UPDATE users SET password = %(password)s WHERE id = %(id)s
CREATE TABLE users (id int, password text)
eyJ
eyJub3QiOiJhIGp3dCJ9
-----BEGIN CERTIFICATE-----
-----BEGIN PUBLIC KEY-----
ghp_short
sk-learn
sk_test
xoxo
AKIA
hf_hub
SG.1
npm_config_cache
Content-Type: application/json
Accept: */*
ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"
X-Request-ID: 7b3f9c2e
Host: api.example.org:443
User-Agent: python-httpx/0.27
Traceback (most recent call last):
KeyError: 'password'
ValueError: invalid literal for int() with base 10: 'x'
TypeError: f() got an unexpected keyword argument 'token'
File "/app/auth/token.py", line 12, in verify
C:\\Users\\ann\\app.py
/etc/ssl/certs/ca.pem
commit 2da65219f0a1b3c4d5e6f708192a3b4c5d6e7f80
v1.2.3-rc.4+build.5678
0000000000000000
1111111111111111
9999 9999 9999 9999
lat=52.5200 lon=13.4050
25.11.2026 10:15
room 101, floor 3: free
<b>hello</b>
<token/>
--token-file /run/x
-p 8080:80
""".strip().splitlines()


def parts(marked: str) -> tuple[str, list[str]]:
    """A pattern's text, and the secrets in it."""
    secrets = [piece.split("»")[0] for piece in marked.split("«")[1:]]
    return marked.replace("«", "").replace("»", ""), [secret for secret in secrets if secret]
