"""The shell of the kind `user` (`users.py`): what is asked about homes and keys, and what is done.

It stands apart only to keep both files readable.
"""

from __future__ import annotations

from providers.account import AS_USER
from providers.contents import ASK
from providers.shell import Sh, lines, sh

LIBRARY = lines(
    [
        AS_USER,
        Sh(r"""
user_home_of() { # sets home to what the account database says of the user $1
  home=$(getent passwd "$1") || { echo "there is no user $1"; return 1; }
  home=${home%:*}
  home=${home##*:}
  case $home in /?*) ;; *) echo "the user $1 has no home directory in the account database"; return 1 ;; esac
}
user_make_home() { # the home of the user $1, whole or not at all; one that is there stays as it is
  user_home_of "$1" || return 1
  if [ -d "$home" ]; then return 0; fi
  if [ -e "$home" ] || [ -L "$home" ]; then echo "$home is there, but it is not a directory"; return 1; fi
  new=${home%/*}/.${home##*/}.reconciler
  (umask 022 && mkdir -p "${home%/*}/") && rm -rf "$new" && mkdir "$new" || return 1
  if [ -d /etc/skel ]; then cp -RP /etc/skel/. "$new/" || return 1; fi
  chown -hR "$(id -u "$1"):$(id -g "$1")" "$new" && chmod 0700 "$new" && mv "$new" "$home"
}
user_write_keys() { # stdin becomes the authorized_keys of the user $1; done as that user, whose folder may hold any trap
  user_home_of "$1" || return 1
  if [ ! -d "$home" ]; then echo "the home directory $home does not exist (create_home: true makes it)"; return 1; fi
  ( # A folder that root made there by mistake becomes the user's: no user can put a directory of root's in that place.
    cd "$home/.ssh" 2>/dev/null && [ "$(pwd -P)" = "$(cd "$home" && pwd -P)/.ssh" ] && [ "$(stat -c %u .)" = 0 ] &&
      chown "$(id -u "$1")" .
  )
  # shellcheck disable=SC2016 # for the other shell to expand
  write='umask 077
    cd "$1" || exit 1
    for path in .ssh .ssh/authorized_keys; do
      if [ -L "$path" ]; then echo "$1/$path is a symbolic link, which is not followed"; exit 1; fi
    done
    file=.ssh/authorized_keys new=.ssh/.authorized_keys.reconciler
    if [ -e "$file" ] && [ ! -f "$file" ]; then echo "$1/$file is there, but it is not a file"; exit 1; fi
    if [ ! -d .ssh ]; then mkdir .ssh || exit 1; fi
    chmod 0700 .ssh && rm -f "$new" || exit 1
    set -C
    if cat >"$new" && sync "$new" && mv -f "$new" "$file"; then sync .ssh; else rm -f "$new"; exit 1; fi'
  as_user "$1" /bin/sh -c "$write" sh "$home"
}
"""),
    ]
)


def ask_locks(names: str) -> Sh:
    """Says whether a password could be used, and nothing else about it: hashes stay where they are."""
    return sh(
        r"""wanted=@names@
while IFS=: read -r name hash _; do
  case $wanted in *" $name "*) ;; *) continue ;; esac
  case $hash in '!'* | '*'*) word=yes ;; *) word=no ;; esac
  printf 'locked %s %s\n' "$name" "$word"
done </etc/shadow
""",
        names=names,
    )


def ask_homes(names: str, keyed: str) -> Sh:
    """From $passwd: which homes are there and, for the users in `keyed`, their keys. Nothing is followed inside a home."""
    return sh(
        r"""@ask@
wanted=@names@ keyed=@keyed@
set -f
IFS='
'
set --
for line in $passwd; do
  case $line in *:*:*:*:*:*:*) ;; *) continue ;; esac
  name=${line%%:*}
  case $wanted in *" $name "*) ;; *) continue ;; esac
  home=${line%:*}
  home=${home##*:}
  above=$home
  while [ -n "$above" ] && [ ! -d "$above" ]; do
    case $above in */*) above=${above%/*} ;; *) above= ;; esac
  done
  if [ -n "$home" ] && [ -d "$home" ]; then word=there
  elif [ ! -x "${above:-/}" ]; then word=unreadable
  elif [ -e "$home" ] || [ -L "$home" ]; then word=other
  else word=missing
  fi
  printf 'home %s %s\n' "$name" "$word"
  case $keyed in *" $name "*) ;; *) continue ;; esac
  folder=$home/.ssh
  file=$folder/authorized_keys
  if [ "$word" = there ]; then
    if [ ! -x "$home" ]; then word=unreadable
    elif [ -L "$folder" ] || [ -L "$file" ]; then word='link'
    elif [ ! -e "$folder" ]; then word=missing
    elif [ ! -d "$folder" ]; then word=other
    elif [ ! -x "$folder" ]; then word=unreadable
    elif [ ! -e "$file" ]; then word=missing
    elif [ ! -f "$file" ]; then word=other
    elif [ ! -r "$file" ]; then word=unreadable
    else
      word='file'
      set -- "$@" "$folder" "$file"
    fi
  fi
  printf 'keys %s %s\n' "$name" "$word"
done
contents "$@"
""",
        ask=ASK,
        names=names,
        keyed=keyed,
    )
