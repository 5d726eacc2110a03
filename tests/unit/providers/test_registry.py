"""The registry: from a reference to its kind."""

from __future__ import annotations

import pytest

from providers.registry import PROVIDERS, provider_of


def test_a_reference_leads_to_its_kind() -> None:
    assert [provider_of(ref).name for ref in ("file:/etc/motd", "directory:/srv", "symlink:/l")] == [
        "file",
        "directory",
        "symlink",
    ]


def test_the_longest_prefix_wins() -> None:
    for provider in PROVIDERS:
        assert provider_of(f"{provider.spec.kind}:{provider.spec.prefix}name") is provider


@pytest.mark.parametrize("ref", ["", "file", "files:/etc/motd", "nothing:x"])
def test_a_word_that_no_kind_has_is_an_error(ref: str) -> None:
    with pytest.raises(KeyError):
        provider_of(ref)
