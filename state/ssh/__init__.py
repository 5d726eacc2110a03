"""Hosts over SSH. asyncssh is imported in this package and nowhere else.

`login.py` opens a connection (through jump hosts, if any), with `options.py` for what the operator's ~/.ssh/config says,
`keys.py` for the keys we may offer, `host_keys.py` for those we accept, and `errors.py` for what went wrong, in sentences.
`channel.py` runs scripts on the open connection; `stream.py` reaches ports of the host through it.
"""
