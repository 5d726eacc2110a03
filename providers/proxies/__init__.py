"""The proxies that can give a project's traffic to one of its slots: how each is told, and how it is asked.

`routes/kind.py` is the kind of resource; here is what differs between the proxies. None of them is reloaded for a switch,
because a reload closes idle connections, and whoever sends a request on one at that moment loses it. What each looks at for
every request is changed instead:

    nginx     a file that is there or not          proven by: our snippet's marker, which the running master holds open
    caddy     a file that is there or not          proven by: the digest of our snippet in the configuration that caddy saved
    haproxy   an entry of a map, over the socket   proven by: the running map itself, whose name has the digest of our snippet
    command   what its owner's command does        proven by: what its owner's other command prints

Only where the snippet itself changes (first set-up, another port or name) is the proxy reloaded, after its whole configuration
was checked; where that fails, the snippet that was there before is put back.
"""
