"""secrets/recipients: for whom the fleet's secrets are encrypted. One public key per line, as `ssh-keygen` and `age-keygen`
print them; an empty line or one that begins with # is for people.

Read by `reconcile secret`; who can open a file is decided when it is encrypted, so a changed list counts from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from desired.model import RepositoryError
from desired.secrets.names import RECIPIENTS
from desired.text import visible

LIMIT = 1000
"""More recipients than this are not read: each makes every file longer."""
_LINE = re.compile(
    r"(?P<key>age1[0-9a-z]{1,4000}|(?P<sort>ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]{1,4000})(?:[ \t]+(?P<comment>.*))?"
)


class BadRecipient(RepositoryError):
    """Why a line is no recipient."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One public key. Equal keys are equal recipients, whatever their comments."""

    text: str
    """The key as it is written, without its comment."""
    comment: str = field(default="", compare=False)
    key: Any = field(default=None, compare=False, repr=False)
    """pyrage's object."""

    @property
    def line(self) -> str:
        return f"{self.text} {self.comment}".rstrip()

    def called(self, word: str) -> bool:
        """Whether `word` means this one: its key, its whole line, or its comment."""
        return word.strip() in (self.text, self.line, self.comment)


def parse_recipient(line: str) -> Recipient:
    """One line. Raises `BadRecipient`."""
    from pyrage import RecipientError, ssh, x25519

    line = line.strip()
    match = _LINE.fullmatch(line)
    if match is None or not line.isprintable():
        _refuse_private(line)
        hint = "write a public key: age1…, ssh-ed25519 … or ssh-rsa …"
        if line.startswith(("/", "~", "./", "../")):
            hint = "if a file was meant, there is none of that name; otherwise " + hint
        raise BadRecipient("this is no public key that secrets can be encrypted for", hint)
    text = match["key"]
    try:
        key = ssh.Recipient.from_str(text) if match["sort"] else x25519.Recipient.from_str(text)
    except RecipientError as error:
        raise BadRecipient(f"{visible(text, 60)} cannot be encrypted for", _why_not(text)) from error
    return Recipient(text, (match["comment"] or "").strip(), key)


def _refuse_private(line: str) -> None:
    message = "this is a private key, which belongs to nobody else"
    if line.upper().startswith("AGE-SECRET-KEY-"):
        raise BadRecipient(message, "give the public one: age-keygen -y FILE")
    if "PRIVATE KEY" in line:
        raise BadRecipient(message, "give the public one: FILE.pub, or what ssh-keygen -y -f FILE prints")


def _why_not(text: str) -> str:
    prefix = text.rpartition("1")[0]  # no key has a 1 in it
    if prefix in ("age1pq", "age1tag", "age1tagpq"):
        return "post-quantum and tag keys are not supported yet: take an ordinary one of age-keygen"
    if prefix.startswith("age1"):
        return "keys of age plugins (hardware keys) are not supported: take an ordinary one of age-keygen"
    return "is it complete? age-keygen -y FILE prints it"


def parse_recipients(text: str, file: str = RECIPIENTS) -> list[Recipient]:
    """The whole file. Raises `BadRecipient`, which names the line and does not repeat it: it may be a private key."""
    found: dict[str, Recipient] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            recipient = parse_recipient(line)
        except BadRecipient as error:
            raise BadRecipient(f"{visible(file)}:{number}: {error}", error.hint) from error
        found.setdefault(recipient.text, recipient)
        if len(found) > LIMIT:
            raise BadRecipient(f"{visible(file)} has more than {LIMIT} keys")
    return list(found.values())


def with_recipients(text: str, added: Iterable[Recipient]) -> str:
    """The file's text with new lines at its end, and everything else as it was."""
    known = {recipient.text for recipient in parse_recipients(text)}
    lines = [recipient.line for recipient in added if recipient.text not in known]
    head = text if not text or text.endswith("\n") else f"{text}\n"
    return head + "".join(f"{line}\n" for line in dict.fromkeys(lines))


def without_recipients(text: str, removed: Iterable[Recipient]) -> str:
    """The file's text without the lines of these."""
    gone = {recipient.text for recipient in removed}
    kept = []
    for line in text.splitlines(keepends=True):
        written = line.strip()
        if written and not written.startswith("#") and parse_recipient(written).text in gone:
            continue
        kept.append(line)
    return "".join(kept)
