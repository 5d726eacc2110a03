"""How a host is asked what became of a deployed tree: the shell that probe, closer look and steps of `release` share.

A listing of what lies there (type, mode, owner, size, times, inode of every file) is compared with the one that was saved when
the tree was installed, the `stamps`. Where they are the same, nothing more is asked: two processes, however many files. Where
they differ, only what differs is looked up in the `index` and hashed. Files are told apart by line, so a name with a line break
is counted and never listed. All of it is one pass over sorted lines, so 350,000 files need no memory to speak of.

The words that come back, a line each, are read by `releases/answer.py`.
"""

from __future__ import annotations

from providers.releases.listings import LISTINGS
from providers.shell import lines, sh

HASHED = 2000
"""Touched files that a probe reads; where there are more, a step looks at all of them once and remembers how they look."""
SHOWN = 1000
"""Paths of one sort that are told."""
LISTED = 5000
"""Files that are not ours that a probe tells of, before those are left out that an exclude pattern names."""

_ASK = sh(
    r"""
# release_tool: which of two ways of listing this host knows.
release_tool() {
  if [ -z "$tool" ]; then
    if find / -maxdepth 0 -printf '' 2>/dev/null; then tool=gnu; else tool=stat; fi
  fi
}

# release_list PRUNED…: what lies in this folder, a line each; PRUNED are words for find.
release_list() {
  case $tool in
  gnu)
    find . -mindepth 1 -xdev -ignore_readdir_race -path "./.reconciler-release-*" -prune -o "$@" -name '*
*' -prune -printf '!odd\n' -o ! -type d -printf '%y %m %U %G %s %T@ %C@ %i ./%P\n'
    ;;
  *)
    find . -mindepth 1 -xdev -path "./.reconciler-release-*" -prune -o "$@" -name '*
*' -prune -o ! -type d -exec stat -c '%f %a %u %g %s %Y %Z %i %n' -- {} +
    ;;
  esac
}

# release_lines TREE PRUNED…: the listing as `stamps` keeps it. Its last words say whether all could be read.
release_lines() {
  { printf '!stamps %s %s\n' "$1" "$tool"
    shift
    release_list "$@"
    printf '!status %s\n' "$?"; } | sort
}

# release_mounts: what is mounted inside this folder is not ours.
release_mounts() {
  if [ -z "$table" ]; then table=$(cut -d ' ' -f 5 </proc/self/mountinfo); fi
  here=$PWD
  case $here in *[\\\ ]*) here=$(printf '%s' "$PWD" | sed 's/\\/\\134/g; s/ /\\040/g') ;; esac
  case "
$table" in *"
$here/"*) ;; *) return 0 ;; esac
  ignored=$ignored'
'$(printf '%s\n' "$table" | here=$here awk '
    index($0, ENVIRON["here"] "/") == 1 {
      point = substr($0, length(ENVIRON["here"]) + 2)
      gsub(/\\040/, " ", point)
      gsub(/\\011/, "\t", point)
      gsub(/\\134/, "\\", point)
      print point
    }')
}

# release_compare INDEX COMING STAMPS ADDED LIMIT TRUTHS: from the listing on stdin to what differs.
#   M path  missing      E path  of another type       P path  mode or owner      A path  not ours     T line  unharmed
#   K T line, K C line   true if the content is right; C: but mode or owner are not     X n  too many to hash    F  not readable
release_compare() {
  ignored=$ignored index=$1 coming=$2 stamps=$3 added=$4 awk -v limit="$5" -v truths="$6" -v uid="$uid" -v gid="$gid" \
    "$awk_where$awk_file$awk_bounds"'
    function advance() { more = (getline old < stamps) > 0 }
    function gone() {
      if (old ~ /^[?] /) left[substr(old, 3)] = 1
      else if (old !~ /^!/) left[where(old)] = 1
      advance()
    }
    function weigh(p, l, ours, want, is, type, link, flaw) {
      split(l, want, " ")
      split(now[p], is, " ")
      type = is[1]
      if (length(type) == 4) type = substr(type, 1, 1) == "8" ? "f" : substr(type, 1, 1) == "a" ? "l" : "o"
      link = want[1] == "link"
      if (type != (link ? "l" : "f") || want[2] ~ /^sealed:/) { if (ours) print "E " p; return }
      flaw = (!link && want[1] != sprintf("%04d", is[2])) || (uid != "" && uid != is[3]) || (gid != "" && gid != is[4])
      if (flaw && ours) print "P " p
      print "K " (flaw ? "C " : "T ") l
      if (!(p in hashed)) { hashed[p] = link; count++ }
    }
    BEGIN {
      listed = ENVIRON["index"]
      coming = ENVIRON["coming"]
      stamps = ENVIRON["stamps"]
      added = ENVIRON["added"]
      names = split(ENVIRON["ignored"], name, "\n")
      advance()
      stamped = more
    }
    {
      if ($0 == "!status 0") whole = 1
      if ($0 == "!odd") odd++
      while (more && (old "") < ($0 "")) gone()
      if (more && (old "") == ($0 "")) { advance(); next }
      if ($0 !~ /^!/) now[where($0)] = $0
    }
    END {
      while (more) gone()
      if (!whole) { print "F"; exit }
      while ((getline l < listed) > 0) {
        if (l ~ /^reconciler-tree /) continue
        p = file(l)
        if (out_of_bounds(p) || (stamped && !(p in now) && !(p in left))) {
          if (truths) print "T " l
          mine[p] = truths
          continue
        }
        mine[p] = 1
        if (p in now) weigh(p, l, 1)
        else print "M " p
      }
      while ((getline l < coming) > 0) {
        if (l ~ /^reconciler-tree /) continue
        p = file(l)
        mine[p] = 1
        if (truths && p in now) weigh(p, l, 0)
      }
      while ((getline p < added) > 0) if (!(p in left) && !(p in now) && !(p in mine)) print "A " p
      for (p in now) if (!(p in mine) && !out_of_bounds(p)) print "A " p
      if (odd) print "O " odd
      if (limit && count > limit) { print "X " count; count = 0 }
      fflush()
      if (count) {
        plain = "tr \"\\n\" \"\\000\" | xargs -0 sha256sum -- 2>/dev/null"
        links = "while IFS= read -r p; do t=$(readlink -- \"$p\" && echo .) && t=${t%??} || continue; " \
          "set -- $(printf %s \"$t\" | sha256sum); printf \"%s  %s\\n\" \"$1\" \"$p\"; done"
        for (p in hashed) if (hashed[p]) print "./" p | links; else print "./" p | plain
        close(plain)
        close(links)
      }
      print "Z"
    }'
}

# release_judge SHOWN LISTED TRUTHS: settles what hashes decide. TRUTHS: 0, `full` lines of an index, or `short` ones.
release_judge() {
  awk -v shown="$1" -v most="$2" -v truths="$3" "$awk_file"'
    function tell(sort, p, limit) {
      total[sort]++
      if (!truths && total[sort] <= limit) print sort " " p
    }
    function truth(l, tag, word) {
      if (!truths) return
      split(l, word, " ")
      if (truths == "short" && length(word[2]) == 64) word[2] = substr(word[2], 1, 16)
      print tag " " word[1] " " word[2] " " word[3] " " file(l)
    }
    function unescaped(p, i, out) {
      while ((i = index(p, "\\\\")) > 0) { out = out substr(p, 1, i); p = substr(p, i + 2) }
      return out p
    }
    /^[0-9a-f\\]/ {
      s = $0
      if (substr(s, 1, 1) == "\\") s = unescaped(substr(s, 2))
      sum[substr(s, 69)] = substr(s, 1, 64)
      next
    }
    /^T / { truth(substr($0, 3), "T"); next }
    /^K / { kept[++n] = substr($0, 3); next }
    /^P / { flawed[substr($0, 3)] = 1; next }
    /^A / { tell("A", substr($0, 3), most); next }
    /^[ME] / { tell(substr($0, 1, 1), substr($0, 3), shown); next }
    /^[OX] / { if (!truths) print; if (/^X/) stale = 1; next }
    /^F/ { print; exit }
    /^Z/ { whole = 1 }
    END {
      for (i = 1; i <= n; i++) {
        l = substr(kept[i], 3)
        split(l, word, " ")
        p = file(l)
        if (sum[p] == word[2]) truth(l, substr(kept[i], 1, 1))
        else if (!stale) { tell("E", p, shown); delete flawed[p] }
      }
      for (p in flawed) tell("P", p, shown)
      if (!truths) for (s in total) print "+" s " " total[s]
      if (whole) print "Z"
    }'
}

# release_examine DEEP SUB PRUNED…: this folder against the files whose names begin with $listed.
release_examine() {
  deep=$1
  shift
  if [ -e "${listed}coming" ] || [ ! -e "${listed}index" ]; then echo unfinished; fi
  for old in ./.reconciler-release-*; do if [ -d "$old" ]; then echo unfinished; fi; done
  title='' commit=''
  if [ -e "${listed}index" ]; then read -r _ _ title commit <"${listed}index" || { echo unreadable; return; }; fi
  printf 'title %s %s\n' "$title" "$commit"
  stamped='' tool=''
  if [ -r "${listed}stamps" ]; then read -r _ stamped tool <"${listed}stamps"; fi
  release_tool
  stamps=${listed}stamps
  if [ "$deep" = 1 ] || [ "$stamped" != "$title" ] || [ -z "$title" ]; then
    stamps=/dev/null
  elif release_lines "$title" "$@" | cmp -s - "$stamps"; then
    echo same
    if [ -s "${listed}added" ]; then sed 's/^/A /' "${listed}added"; fi
    echo Z
    return
  fi
  release_mounts
  if [ "$deep" = 1 ]; then limit=0; else limit=@hashed@; fi
  release_lines "$title" "$@" | release_compare "${listed}index" "${listed}coming" "$stamps" "${listed}added" "$limit" 0 |
    release_judge @shown@ @listed@ 0
}

# release_truths STAMPS FORM: from a listing to the lines of the index that hold for what is there.
release_truths() {
  release_compare "${listed}index" "${listed}coming" "$1" /dev/null 0 1 | release_judge 0 0 "$2"
}

# release_stamps: what `release_lines` and `release_truths` need to know of $listed.
release_stamps() {
  title='' stamped='' tool='' stamps=/dev/null
  if [ -r "${listed}index" ]; then read -r _ _ title _ <"${listed}index"; fi
  if [ -r "${listed}stamps" ]; then read -r _ stamped tool <"${listed}stamps"; fi
  release_tool
  if [ -n "$title" ] && [ "$title" = "$stamped" ]; then stamps=${listed}stamps; fi
}

# release_place: what was noted when the project was first put here.
release_place() {
  was='' owner='' group='' uid='' gid=''
  if [ -e "$project/place" ]; then
    # shellcheck disable=SC2034 # not everybody who asks needs all of it
    { IFS= read -r was; IFS= read -r owner; IFS= read -r group; IFS= read -r uid; IFS= read -r gid; } <"$project/place"
  fi
}

# release_head: what the working copy's HEAD says, without asking git, which runs what a repository's settings say.
release_head() {
  ref='' rev=''
  if [ -d ./.git ] && [ ! -L ./.git ] && [ -f ./.git/HEAD ] && [ ! -L ./.git/HEAD ]; then read -r ref <./.git/HEAD; fi
  case $ref in
  *..* | *[!A-Za-z0-9/._@+=:\ -]*) ref= ;;
  'ref: refs/'*)
    ref=${ref#ref: }
    if [ -f "./.git/$ref" ]; then
      read -r rev <"./.git/$ref"
    elif [ -f ./.git/packed-refs ]; then
      while read -r sum name; do if [ "$name" = "$ref" ]; then rev=$sum; fi; done <./.git/packed-refs
    fi
    ;;
  *) rev=$ref ref=detached ;;
  esac
  printf 'head %s\nrev %s\n' "$ref" "$rev"
}

# release_base: enters the tree whose contents the wanted one can use, and sets $listed and $id.
release_base() {
  listed='' id='' is=''
  case $strategy in
  releases | slots)
    for file in "$project"/releases/*.index; do
      name=${file##*/}
      name=${name%.index}
      if [ ! -d "$path/releases/$name" ] || [ -L "$path/releases/$name" ]; then continue; fi
      read -r _ _ title _ <"$file"
      if [ "$title" = "$tree" ] || [ "$is" != "$tree" ]; then id=$name is=$title; fi
    done
    if [ -n "$id" ] && cd -P -- "$path/releases/$id${sub:+/$sub}"; then
      listed=$project/releases/$id.
      echo "id $id"
    fi
    ;;
  *) listed=$project/ ;;
  esac
  if [ -n "$listed" ]; then release_stamps; fi
}
""",
    hashed=HASHED,
    shown=SHOWN,
    listed=LISTED,
)

ASK = lines([LISTINGS, _ASK])
