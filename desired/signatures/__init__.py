"""Who signed a commit: lists of signers, SSH and OpenPGP signatures, and the walk over all that is new."""
