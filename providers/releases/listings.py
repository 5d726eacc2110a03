"""How the lines of listings, stamps and indexes are taken apart: pieces of awk that the scripts of `release` have in common.

    stamps   TYPE MODE UID GID SIZE MTIME CTIME INODE ./PATH [-> TARGET]
    index    MODE DIGEST SIZE PATH

They stand in shell variables before an awk program, outside of its quotes: `awk "$awk_file"'{ … }'`. What the formats are is
known here and nowhere else. Part of `ask.py`'s text, and so of every script of this kind.
"""

from __future__ import annotations

from providers.shell import sh

LISTINGS = sh(r"""
# shellcheck disable=SC2034 # not every script uses all of them
awk_file='
    function file(l, i) { # the path in a line of an index
      for (i = 1; i <= 3; i++) l = substr(l, index(l, " ") + 1)
      return l
    }
' awk_where='
    function where(s, i) { # the path in a line of a listing, and what follows it
      for (i = 1; i <= 8; i++) s = substr(s, index(s, " ") + 1)
      return substr(s, 3)
    }
' awk_bounds='
    function out_of_bounds(p, i) { # is it, or does it lie in, one of name[1] to name[names]?
      for (i = 1; i <= names; i++) if (name[i] != "" && (p == name[i] || index(p, name[i] "/") == 1)) return 1
      return 0
    }
'
""")
