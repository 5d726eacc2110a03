"""What is asked of every host before any resource: which system it is, who we are on it, since when it runs.

Costs no process on the host: shell builtins read the files. The answer is data from a host and treated as such: bounded, never
evaluated, escaped wherever it is shown.
"""

from __future__ import annotations

from providers.base import Facts
from providers.shell import Sh, sh

LONGEST = 256
"""Characters of one fact that are kept."""


def facts_probe() -> Sh:
    return sh(
        r"""
printf 'uid=%s\nhome=%s\n' "$uid" "$HOME"
for file in kernel/hostname kernel/osrelease kernel/arch kernel/random/boot_id; do
  if read -r line 2>/dev/null </proc/sys/$file; then printf '%s=%s\n' "$file" "$line"; fi
done
[ -d /run/systemd/system ] && echo systemd=yes
while IFS= read -r line; do
  case $line in ID=* | VERSION_ID=* | VERSION_CODENAME=*) printf 'os-%s\n' "$line" ;; esac
done 2>/dev/null </etc/os-release
:
"""
    )


def parse_facts(out: bytes) -> Facts:
    """Total: what is missing or odd stays at its default."""
    values: dict[str, str] = {}
    for line in out.decode("utf-8", "replace").splitlines():
        key, found, value = line.partition("=")
        if found:
            values.setdefault(key, value.strip().strip("\"'")[:LONGEST])
    uid = values.get("uid", "")
    return Facts(
        os_id=values.get("os-ID", ""),
        os_version=values.get("os-VERSION_ID", ""),
        codename=values.get("os-VERSION_CODENAME", ""),
        arch=values.get("kernel/arch", ""),
        kernel=values.get("kernel/osrelease", ""),
        hostname=values.get("kernel/hostname", ""),
        boot_id=values.get("kernel/random/boot_id", ""),
        uid=int(uid) if uid.isdecimal() and len(uid) < 11 else -1,
        home=values.get("home", ""),
        systemd=values.get("systemd") == "yes",
    )
