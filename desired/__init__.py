"""From a commit of a git repository to validated specs per host. Nothing in the repository is ever executed or imported."""
