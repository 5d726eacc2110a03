"""How a thing is put in its place on a host: the shell functions that the steps of files, directories and links share.

Two dangers shape them. A step may be killed at any moment, so a thing is made aside and moved into place by one rename. And the
folder may belong to somebody hostile (an application's user, while we are root), who can swap any part of the path for a link
to /etc between two of our commands. Therefore:

    path_enter      goes to the folder part by part and checks where it arrived; from then on only `./name` is used
    path_workshop   makes a folder beside the target that nobody else can write to; a thing is made ready in there
    path_install    moves it out, over what stands there, never into a directory and never through a link
"""

from __future__ import annotations

from providers.shell import sh

LIBRARY = sh(r"""
path_fail() { printf '%s\n' "$*" >&2; return 1; }

# path_enter PATH [make]: stands in the folder that holds PATH; sets $name and $place. With "make", missing folders are made.
path_enter() {
  name=${1##*/}
  place=${1%/*}
  place=${place:-/}
  path_uid=$(id -u) || return
  if cd -P -- "$place" 2>/dev/null && [ "$PWD" = "$place" ]; then return; fi
  path_walk "$place" "$2" || return
  place=$PWD
}

# path_walk FOLDER [make]: goes there part by part. The kernel never follows a link for us: each is read, and its target walked.
# A link is only trusted when root or we have made it.
path_walk() {
  rest=${1#/}
  links=0
  cd / || return
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    here=${PWD%/}/$part
    case $part in
    '' | .) continue ;;
    ..) cd -P .. || return; continue ;;
    esac
    if [ -L "./$part" ]; then
      links=$((links + 1))
      [ "$links" -le 40 ] || { path_fail "$1: too many symbolic links on the way"; return; }
      keeper=$(stat -c %u -- "./$part") || return
      [ "$keeper" = 0 ] || [ "$keeper" = "$path_uid" ] ||
        { path_fail "$here is a symbolic link that belongs to user $keeper: it is not followed"; return; }
      target=$(readlink -- "./$part" && echo .) || return
      target=${target%??}
      case $target in /*) cd / || return ;; esac
      rest=$target/$rest
    elif [ -d "./$part" ]; then
      cd -P -- "./$part" || { path_fail "$here cannot be entered"; return; }
      [ "$PWD" = "$here" ] || { path_fail "$here was swapped for something else at this moment: nothing was done"; return; }
    elif [ -e "./$part" ]; then
      path_fail "$here is not a directory"
      return
    elif [ "$2" = make ]; then
      mkdir -m 0755 -- "./$part" || return
      rest=$part/$rest
    else
      path_fail "the directory $here does not exist: declare it under directories"
      return
    fi
  done
}

# path_private FOLDER: enters a folder of ours in which nobody else can do anything.
path_private() {
  cd -P -- "$1" || return
  if [ "$PWD" = "${place%/}/${1#./}" ]; then
    # A default ACL of the place may have taken rights away from the owner too.
    case $(stat -c %u:%a .) in "$path_uid:"*00 | "$path_uid:0") return 0 ;; esac
  fi
  path_fail "$place/${1#./} was swapped for something else at this moment: nothing was done"
}

# path_workshop: makes such a folder beside ./$name and enters it. What a killed run has left of one is removed first.
path_workshop() {
  short=$name
  [ "${#name}" -le 200 ] || short=long
  for old in "./.$short.reconciler-"??????; do
    if [ -d "$old" ] && [ ! -L "$old" ]; then (path_private "$old" && rm -f -- "./$name") && rmdir -- "$old"; fi
  done
  for old in "./.reconciler-"??????".$short"; do
    if [ -f "$old" ] && [ ! -L "$old" ]; then rm -f -- "$old"; fi
  done
  # Noted before it is made, so that the next run finds it whenever we are killed.
  read -r random </proc/sys/kernel/random/uuid || return
  workshop=./.$short.reconciler-${random%"${random#??????}"}
  if [ -n "$litter" ]; then printf '%s\n' "${PWD%/}/${workshop#./}" >"$litter" || return; fi
  mkdir -m 0700 -- "$workshop" || return
  path_private "$workshop" || { rmdir -- "$workshop"; return 1; }
}

# path_leave: clears the workshop and leaves it.
path_leave() { rm -f -- "./$name" && cd -P .. && rmdir -- "$workshop"; }

# path_install: moves ./$name from the workshop into its place. Naming the folder, not the target, keeps mv from entering a
# directory or a link that stands there. (A link that leads nowhere goes first: the mv of busybox stumbles over a loop.)
path_install() {
  if [ -L "../$name" ] && [ ! -e "../$name" ]; then rm -f -- "../$name"; fi
  if [ -d "../$name" ] && [ ! -L "../$name" ] && ! rmdir -- "../$name"; then
    path_fail "$place/$name is a directory that is in use or not empty: it is kept"
  else
    mv -f -- "./$name" ..
  fi || { path_leave; return 1; }
  cd -P .. && rmdir -- "$workshop" && path_sync
}

# path_sync: makes what happened in this folder survive a power cut.
path_sync() { sync -- . || [ ! -r . ]; }

# path_dress TARGET OWNER GROUP MODE ACL: an empty word means "as it is". The mode comes after the owner, because chown clears
# setuid, and the entries of an ACL after the mode, because chmod writes the mask. An ACL that shall go (`-`) goes before:
# as long as there is a mask, chmod does not reach what the group may do.
path_dress() {
  if [ -n "$2$3" ]; then chown -- "$2${3:+:$3}" "$1" || return; fi
  if [ "$5" = - ]; then path_acl_tool && setfacl -b -- "$1" || return; fi
  if [ -n "$4" ]; then chmod -- "$4" "$1" || return; fi
  case $5 in '' | -) ;; *) path_beyond "$5" "$1" || return ;; esac
  case $4 in '' | ??? | 0??? | 00???) return 0 ;; esac
  [ $((0$(stat -c %a -- "$1") & 07000)) -eq $((0$4 & 07000)) ] ||
    path_fail "the system does not grant us mode $4 here: its first digit (setuid, setgid, sticky) was dropped"
}

path_acl_tool() { command -v setfacl >/dev/null || path_fail "setfacl is missing: install the package acl"; }

# path_beyond ENTRIES TARGET: these, and no others.
path_beyond() {
  path_acl_tool || return
  setfacl -b -m "$1" -- "$2" || path_fail "setfacl refused the entries $1: are these users and groups there?"
}

# path_remove: removes the file or link ./$name. Without being told, systemd would keep a unit whose file is gone.
path_remove() {
  rm -f -- "./$name" && path_sync || return
  case $PWD/ in /etc/systemd/system/* | /run/systemd/system/* | /usr/lib/systemd/system/* | /usr/local/lib/systemd/system/*)
    [ ! -d /run/systemd/system ] || systemctl daemon-reload ;;
  esac
}
""")
"""Sent with the steps of each of the three kinds."""
