"""What secrets look like: one rule for each kind of key, behind literals that are looked for first.

Used by `scanner.py`. A rule's regular expression runs only over files that hold one of its marks, which is why a scan of
thousands of files takes a moment. Passwords without a form of their own are found by the words beside them: see
`scan/words.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Hit(NamedTuple):
    """A place in a file that a rule found."""

    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern`'s last group is the value; a value that is plainly a placeholder is no finding. One of the `marks` stands in
    every file that holds such a key; those without a capital are looked for in capitals too."""

    name: str
    title: str
    marks: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _rule(name: str, title: str, marks: str, pattern: str) -> Rule:
    return Rule(name, title, tuple(mark.encode() for mark in marks.split()), re.compile(pattern.encode(), re.MULTILINE))


_HASH = r"[./A-Za-z0-9]"
_KEY_ARMOUR = r"(?:\\+[nrt]|[\s\"'+,\\]|(?:Proc-Type|DEK-Info|Version|Comment):[^\n\\]*+)*+"

RULES = (
    _rule("aws-access-key", "an AWS access key", "AKIA ASIA", r"(?<![A-Za-z0-9])(A[KS]IA[A-Z0-9]{16})\b"),
    _rule(
        "aws-secret-key",
        "an AWS secret key",
        "secret",
        r"(?i:secret.{0,2}(?:access.{0,2})?key)[\"']?\s{0,4}(?:=>|[:=])\s{0,4}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    _rule("google-api-key", "a Google API key", "AIza", r"\b(AIza[0-9A-Za-z_-]{35})(?![0-9A-Za-z_-])"),
    _rule("google-oauth", "a Google OAuth secret", "GOCSPX- ya29.", r"\b(GOCSPX-[0-9A-Za-z_-]{28}|ya29\.[0-9A-Za-z_-]{50,})"),
    _rule("github-token", "a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\b(gh[pousr]_[A-Za-z0-9]{36,255})\b"),
    _rule("github-fine-grained-token", "a GitHub token", "github_pat_", r"\b(github_pat_[A-Za-z0-9_]{40,255})\b"),
    _rule(
        "gitlab-token",
        "a GitLab token",
        "glpat- gldt- glrt- glptt-",
        r"\b(gl(?:pat|dt|rt|ptt)-[A-Za-z0-9_.-]{20,})",
    ),
    _rule(
        "slack-token",
        "a Slack token",
        "xox xapp-",
        r"\b(xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{16,}|xapp-[0-9]-[A-Za-z0-9-]{20,})",
    ),
    _rule(
        "slack-webhook",
        "a Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(T[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9/]{16,})",
    ),
    _rule(
        "stripe-key",
        "a Stripe key",
        "k_live_ k_test_ whsec_",
        r"\b((?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9+/]{16,})",
    ),
    _rule("npm-token", "an npm token", "npm_", r"\b(npm_[A-Za-z0-9]{36})\b"),
    _rule(
        "npm-registry-password",
        "an npm registry's password",
        ":_authToken :_password :_auth",
        r":_(?:authToken|password|auth)\s*=\s*[\"']?([^\s\"'$]{16,})",
    ),
    _rule("pypi-token", "a PyPI token", "pypi-AgE", r"\b(pypi-AgE[A-Za-z0-9_-]{50,})"),
    _rule("rubygems-key", "a RubyGems key", "rubygems_", r"\b(rubygems_[a-f0-9]{48})\b"),
    _rule(
        "openai-key",
        "an OpenAI key",
        "sk-",
        r"(?<![A-Za-z0-9_-])(sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{32,}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|[A-Za-z0-9]{48}))(?![A-Za-z0-9])",
    ),
    _rule("anthropic-key", "an Anthropic key", "sk-ant-", r"\b(sk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{32,})"),
    _rule("huggingface-token", "a Hugging Face token", "hf_", r"\b(hf_[A-Za-z]{34})\b"),
    _rule(
        "private-key",
        "a private key",
        "PRIVATE",
        rf"-----BEGIN (?:[A-Z0-9]{{1,12}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----{_KEY_ARMOUR}([A-Za-z0-9+/=_-]{{32,}})",
    ),
    _rule(
        "encoded-private-key",
        "a private key in base64",
        "LS0tLS1CRUdJTi",
        r"(LS0tLS1CRUdJTi[A-Za-z0-9+/]{0,24}(?:UFJJVkFURSBLRVk|QUklWQVRFIEtFW|BSSVZBVEUgS0VZ)[A-Za-z0-9+/=]{64,})",
    ),
    _rule(
        "putty-key",
        "a PuTTY private key",
        "PuTTY-User-Key-File",
        r"^PuTTY-User-Key-File-[0-9]+:[^\0]{0,4000}?^Private-Lines: *[0-9]+\r?\n([A-Za-z0-9+/=]{16,})",
    ),
    _rule(
        "age-key", "an age identity", "AGE-SECRET-KEY-", r"(AGE-SECRET-KEY-(?:PQ-)?1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{50,})"
    ),
    _rule(
        "jwt", "a JSON web token", "eyJ", r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})"
    ),
    _rule(
        "telegram-token", "a Telegram bot's token", ":A", r"(?<![0-9A-Za-z])([0-9]{6,12}:A[A-Za-z0-9_-]{34})(?![A-Za-z0-9_-])"
    ),
    _rule(
        "discord-webhook",
        "a Discord webhook",
        "/api/webhooks/",
        r"discord(?:app)?\.com/api(?:/v[0-9]+)?/webhooks/([0-9]{15,22}/[A-Za-z0-9_-]{50,})",
    ),
    _rule(
        "discord-token",
        "a Discord bot's token",
        "discord",
        r"(?<![A-Za-z0-9_-])([MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})(?![A-Za-z0-9_-])",
    ),
    _rule("tailscale-key", "a Tailscale key", "tskey-", r"\b(tskey-[a-z]+-[A-Za-z0-9]+(?:CNTRL)?-[A-Za-z0-9]{16,})"),
    _rule(
        "wireguard-key",
        "a WireGuard key",
        "privatekey presharedkey private_key preshared_key",
        r"(?i:private_?key|preshared_?key)[\"']?\s*[:=]\s*[\"']?([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)(?![A-Za-z0-9+/=])",
    ),
    _rule(
        "password-hash",
        "the hash of a password",
        "$",
        rf"(\$\$?(?:(?:1|apr1)\$\$?{_HASH}{{1,8}}\$\$?{_HASH}{{22}}|5\$\$?(?:rounds=[0-9]+\$\$?)?{_HASH}{{1,16}}\$\$?{_HASH}{{43}}"
        rf"|6\$\$?(?:rounds=[0-9]+\$\$?)?{_HASH}{{1,16}}\$\$?{_HASH}{{86}}|2[aby]\$\$?[0-9]{{2}}\$\$?{_HASH}{{53}}"
        rf"|(?:y|gy|7)\$\$?{_HASH}+\$\$?{_HASH}{{0,86}}\$\$?{_HASH}{{43}}|argon2(?:id|i|d)\$\$?v=[0-9]+\$\$?[a-z0-9=,]+\$\$?[A-Za-z0-9+/]+\$\$?[A-Za-z0-9+/]{{22,}}))(?!{_HASH})",
    ),
    _rule(
        "shadow-line",
        "a line of /etc/shadow",
        ":::",
        rf"^[a-z_][a-z0-9_.-]{{0,31}}:!{{0,2}}(\$[0-9a-z]+\$[^:\s]{{16,}}|{_HASH}{{13}}):[0-9]{{1,6}}:[0-9]*:[0-9]*:[0-9]*:[0-9]*:[0-9]*:",
    ),
    _rule("netrc-password", "a password for a machine", "machine", r"^\s*machine\s+\S+\s+login\s+\S+\s+password\s+(\S{4,})"),
    _rule(
        "kubernetes-key",
        "the key of a Kubernetes client",
        "client-key-data",
        r"client-key-data:\s*[\"']?([A-Za-z0-9+/=]{100,})",
    ),
    _rule("docker-login", "the login of a container registry", '"auths"', r"\"auth\"\s*:\s*\"([A-Za-z0-9+/]{12,}={0,2})\""),
    _rule("docker-hub-token", "a Docker Hub token", "dckr_", r"\b(dckr_[po]at_[A-Za-z0-9_-]{20,})"),
    _rule("sendgrid-key", "a SendGrid key", "SG.", r"\b(SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50})"),
    _rule("twilio-key", "a Twilio key", "twilio", r"\b(SK[0-9a-f]{32})\b"),
    _rule("mailgun-key", "a Mailgun key", "mailgun", r"\b(key-[0-9a-f]{32})\b"),
    _rule("digitalocean-token", "a DigitalOcean token", "_v1_", r"\b(do[por]_v1_[a-f0-9]{64})\b"),
    _rule("shopify-token", "a Shopify token", "shp", r"\b(shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32})\b"),
    _rule("vault-token", "a Vault token", "hvs. hvb.", r"\b(hv[sb]\.[A-Za-z0-9_-]{24,})"),
    _rule("terraform-token", "a Terraform Cloud token", ".atlasv1.", r"\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,})"),
    _rule("azure-key", "an Azure storage key", "AccountKey=", r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    _rule("grafana-token", "a Grafana token", "glsa_ glc_", r"\b(glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/=]{32,})"),
    _rule("linear-key", "a Linear key", "lin_api_", r"\b(lin_api_[A-Za-z0-9]{40})\b"),
    _rule("matrix-token", "a Matrix access token", "syt_", r"\b(syt_[A-Za-z0-9+/=]+_[A-Za-z]{20}_[A-Za-z0-9]{6})\b"),
    _rule(
        "url-password",
        "a password in a URL",
        "://",
        r"://([^\s:/@'\"<>`(){}\\]{0,64}):([^\s/@'\"<>`\\]{3,128})@(?!sha(?:256|512):)[A-Za-z0-9\[$]",
    ),
)

_EXAMPLE = re.compile(
    rb"(?i)example|placeholder|change.?me|your|xxxx|\*\*\*|\.\.\.|redacted|dummy|insert|replace|todo|fixme|foobar"
    rb"|abcdefghijkl|1234567890|0123456789|deadbeef|(.)\1{7}"
)
_JWT_EXAMPLE = b"SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
_SOMEBODY = re.compile(
    rb"(?i)(?:my|your|the|some|a|db|user|super|app|test|new|old|auth|access)?[-_]?(?:secret|pass(?:word|wd|phrase)?|pw|pwd|token|key|auth)[0-9]{0,3}"
    rb"|user(?:name)?|admin|root|guest|postgres|mysql|mongo|redis|rabbitmq|test(?:ing)?|demo|foo|bar|baz|anonymous|pserver:.*|none|null|[0-9.]+(?:,.*)?|x+"
)
_FILLED_IN = (b"$", b"%", b"{", b"<", b"[", b"*")
"""How a value begins that something else fills in."""
_NO_HOST = re.compile(rb"[A-Za-z0-9.-]*\.?(?:example(?:\.(?:com|org|net))?|invalid|test)(?![A-Za-z0-9.-])")


def placeholder(value: bytes) -> bool:
    """Whether nobody would have a key like this: a run, a repetition, or the word for what should stand there."""
    if _EXAMPLE.search(value) or value.endswith(_JWT_EXAMPLE):
        return True
    return len(value) >= 20 and len(set(value)) < 8


def hits(data: bytes, lowered: bytes) -> Iterator[Hit]:
    """What the rules find in a file; `lowered` is the same in lower case."""
    for rule in RULES:
        for mark in rule.marks:
            if mark in (lowered if mark.islower() else data):
                break
        else:
            continue
        for match in rule.pattern.finditer(data):
            value = match[match.lastindex or 0]
            if not (_names_nobody(match, data) if rule.name == "url-password" else placeholder(value)):
                yield Hit(match.start(), match.end(), rule.name)


def _names_nobody(match: re.Match[bytes], data: bytes) -> bool:
    """Whether the password in a URL is there to be replaced."""
    user, password = match[1], match[2]
    return bool(
        password == user
        or password.startswith(_FILLED_IN)
        or b"${" in password
        or b"{{" in password
        or _SOMEBODY.fullmatch(password)
        or _EXAMPLE.search(password)
        or _NO_HOST.match(data, match.end() - 1)
    )
