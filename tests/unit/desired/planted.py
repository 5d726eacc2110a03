"""Keys that are nobody's, drawn by lot from a fixed seed, and thousands of clean files: what the secret scan is measured on.

They are put together here, so that no scanner stumbles over this repository.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
from collections.abc import Callable

LETTERS = string.ascii_letters + string.digits
BASE64 = LETTERS + "+/"
URL_SAFE = LETTERS + "-_"
HEX = "0123456789abcdef"
CRYPT = LETTERS + "./"
BECH32 = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"


def keys(seed: int = 7) -> dict[str, tuple[str, str]]:
    """Name → file and content of 25 keys of the usual services."""
    lot = random.Random(seed)

    def draw(alphabet: str, length: int) -> str:
        return "".join(lot.choice(alphabet) for _ in range(length))

    def pem(kind: str, lines: int) -> str:
        body = "\n".join(draw(BASE64, 64) for _ in range(lines))
        return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----\n"

    capitals = string.ascii_uppercase
    part = base64.urlsafe_b64encode(json.dumps({"alg": "HS256"}).encode()).decode().rstrip("=")
    return {
        "aws-access-key": ("a/deploy.sh", f"export AWS_ACCESS_KEY_ID={'AK' + 'IA'}{draw(capitals, 16)}\n"),
        "aws-secret-key": ("a/credentials", f"[default]\naws_secret_access_key = {draw(BASE64, 40)}\n"),
        "google-api-key": ("web/map.js", f"const key = '{'AI' + 'za'}{draw(URL_SAFE, 35)}';\n"),
        "github-token": ("ci.yml", f"env:\n  GH: {'gh' + 'p_'}{draw(LETTERS, 36)}\n"),
        "gitlab-token": ("README.md", f"    curl -H 'PRIVATE-TOKEN: {'glp' + 'at-'}{draw(URL_SAFE, 20)}' git.lan\n"),
        "slack-token": ("bot.py", f'client = WebClient("{"xo" + "xb-"}{draw(string.digits, 12)}-{draw(LETTERS, 24)}")\n'),
        "slack-webhook": (
            "n.sh",
            f"curl https://hooks.slack.com/services/T{draw(HEX, 9)}/B{draw(HEX, 9)}/{draw(LETTERS, 24)}\n",
        ),
        "stripe-key": ("pay.rb", f'Stripe.api_key = "{"sk_" + "live_"}{draw(LETTERS, 24)}"\n'),
        "npm-token": (".npmrc", f"//registry.npmjs.org/:_authToken={'np' + 'm_'}{draw(LETTERS, 36)}\n"),
        "pypi-token": (".pypirc", f"[pypi]\npassword = {'pypi-' + 'AgEIcHlwaS5vcmc'}{draw(URL_SAFE, 100)}\n"),
        "openai-key": ("x.ts", f"new OpenAI({{ apiKey: '{'sk-' + 'proj-'}{draw(URL_SAFE, 48)}' }})\n"),
        "anthropic-key": ("x.env", f"KEY={'sk-' + 'ant-'}api03-{draw(URL_SAFE, 93)}AA\n"),
        "private-key": ("tls/server.key", pem("RSA ", 25)),
        "openssh-key": ("id_ed25519", pem("OPENSSH ", 5)),
        "putty-key": ("me.ppk", f"PuTTY-User-Key-File-3: ssh-ed25519\nComment: x\nPrivate-Lines: 1\n{draw(BASE64, 48)}\n"),
        "jwt": ("t.http", f"Authorization: Bearer {part}.{'ey' + 'J'}{draw(URL_SAFE, 60)}.{draw(URL_SAFE, 43)}\n"),
        "age-key": ("age/keys.txt", f"# created: today\n{'AGE-SECRET-' + 'KEY-1'}{draw(BECH32, 58)}\n"),
        "telegram-token": ("notify.py", f'bot = Bot("{draw("123456789", 10)}:{"A" + "A"}{draw(URL_SAFE, 33)}")\n'),
        "discord-webhook": (
            "h.json",
            f'{{"url": "https://discord.com/api/webhooks/{draw(HEX[1:10], 19)}/{draw(URL_SAFE, 68)}"}}\n',
        ),
        "tailscale-key": (
            "up.sh",
            f"tailscale up --auth-key={'tskey' + '-auth-'}{draw(LETTERS, 11)}CNTRL-{draw(LETTERS, 32)}\n",
        ),
        "wireguard-key": ("wg0.conf", f"[Interface]\nPrivateKey = {draw(BASE64, 42)}E=\n"),
        "password-hash": ("users.htpasswd", f"ops:$2y$05${draw(CRYPT, 53)}\n"),
        "shadow-line": ("backup/shadow", f"root:$6${draw(CRYPT, 16)}${draw(CRYPT, 86)}:19000:0:99999:7:::\n"),
        "url-password": ("app.yaml", f"database: postgres://app:{draw(LETTERS, 12)}@db.lan/app\n"),
        "password": ("compose.yaml", "services:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=Sommer2024!\n"),
    }


def clean_files(count: int = 5000, seed: int = 11) -> dict[str, str]:
    """Path → content of files in which nobody would find a secret but a careless scanner."""
    lot = random.Random(seed)
    return {f"{number}/{name}": make(lot) for number in range(count) for name, make in [KINDS[number % len(KINDS)]]}


def _digest(lot: random.Random) -> str:
    return hashlib.sha256(str(lot.random()).encode()).hexdigest()


def _npm(lot: random.Random) -> str:
    hashes = [base64.b64encode(hashlib.sha512(_digest(lot).encode()).digest()).decode() for _ in range(8)]
    return "\n".join(
        f'"resolved": "https://registry.npmjs.org/a-token-{n}.tgz", "integrity": "sha512-{h}",' for n, h in enumerate(hashes)
    )


def _placeholders(lot: random.Random) -> str:
    return f"""# Set these
DATABASE_URL=postgres://user:password@localhost:5432/app
REDIS_URL=redis://:${{REDIS_PASSWORD}}@redis:6379/{lot.randrange(9)}
POSTGRES_PASSWORD=changeme
ADMIN_PASSWORD=<your password here>
SECRET_KEY=${{SECRET_KEY:?missing}}
API_TOKEN=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
GITHUB_TOKEN={"gh" + "p_"}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
AWS_ACCESS_KEY_ID={"AK" + "IA"}IOSFODNN7EXAMPLE
AWS_SECRET_ACCESS_KEY={"wJalrXUtnFEMI/K7MDENG"}/bPxRfiCYEXAMPLEKEY
STRIPE=sk_test_...
TOKEN_FILE=/run/secrets/token_{lot.randrange(99)}
password_min_length: {lot.randrange(99)}
"""


def _program(lot: random.Random) -> str:
    return f"""
password = os.environ["APP_PASSWORD_{lot.randrange(9)}"]
token = request.headers.get("X-Token-{lot.randrange(9)}") or settings.api_v2_token
secret_key: str = load_secret("app/key1")
cancellationToken = source2.Token
if password == "password": raise ValueError("token: expected 16 characters, found 12")
const tokenUrl = "https://login.example.org/oauth2/v2.0/token";
password_label = _("Enter password2:")
etag = "{_digest(lot)}"
"""


def _public(lot: random.Random) -> str:
    blob = base64.b64encode(_digest(lot).encode()).decode()
    certificate = f"-----BEGIN CERTIFICATE-----\n{blob}\n-----END CERTIFICATE-----\n"
    return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{blob[:44]} ops@nas\n{certificate}"


def _go_sum(lot: random.Random) -> str:
    digests = [base64.b64encode(_digest(lot)[:32].encode()).decode() for _ in range(9)]
    return "\n".join(f"golang.org/x/a v0.{number}.0 h1:{digest}" for number, digest in enumerate(digests))


def _style(lot: random.Random) -> str:
    return f".token{{color:#{_digest(lot)[:6]};background:url(data:image/png;base64,{_digest(lot) * 4})}}"


def _yaml(lot: random.Random) -> str:
    return f"""
image: registry.lan/app:1.{lot.randrange(99)}@sha256:{_digest(lot)}
env: {{DB_PASSWORD: {{secret: db/password1}}, TOKEN: "{{{{ vars.token1 }}}}"}}
auth: {{tokenReview: true, secretName: app-tls-v1-2024, passwordPolicy: strong1}}
key: {_digest(lot)}
password_hash_rounds: 12
"""


KINDS: tuple[tuple[str, Callable[[random.Random], str]], ...] = (
    ("SHA256SUMS", lambda lot: "\n".join(f"{_digest(lot)}  file-{n}.tar.gz" for n in range(12))),
    ("package-lock.json", _npm),
    (".env.example", _placeholders),
    ("app.py", _program),
    (
        "uv.lock",
        lambda lot: "\n".join(f'{{ url = "https://files.lan/a.whl", hash = "sha256:{_digest(lot)}" }}' for _ in range(9)),
    ),
    ("authorized_keys", _public),
    ("compose.yaml", _yaml),
    ("README.md", lambda lot: _placeholders(lot) + _program(lot)),
    ("go.sum", _go_sum),
    ("style.css", _style),
)
