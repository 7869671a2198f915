"""The contract of ``KeyVault``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.domain.errors import Erased
from remembrancer.domain.ports.key_vault import KEY_BYTES
from remembrancer.domain.scope import LedgerId

ALICE = LedgerId("user:alice")
BOB = LedgerId("user:bob")

ODD_NAMES = [
    "user:o'brien\"; DROP TABLE ledger_key; --",
    "user:%_",
    "user:💥",
    "user:é",
    "user:e\u0301",
    "user:A",
    "user:a",
    "user:日本語",
    "user: ",
    "user:" + "long" * 1_000,
]

ledgers = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40).map(
    lambda name: LedgerId(f"user:{name}")
)

RACERS = 8


def _at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make each call in its own thread; return the results and exceptions in order."""
    outcomes: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(place: int) -> None:
        start.wait()
        try:
            outcomes[place] = calls[place]()
        except Exception as error:  # noqa: BLE001 - handed to the test
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class KeyVaultContract:
    """Inherit and implement ``make_vault``, and ``reopen`` if keys are persistent."""

    lasting = True
    """Whether keys persist after the vault is closed; if not, ``reopen`` is not called."""

    def make_vault(self, tmp_path: Path) -> Any:
        """A fresh, empty vault; ``tmp_path`` is an empty folder."""
        raise NotImplementedError

    def reopen(self, tmp_path: Path) -> Any:
        """A second vault over the store that ``make_vault`` created in ``tmp_path``."""
        raise NotImplementedError

    @pytest.fixture
    def vault(self, tmp_path: Path) -> Iterator[Any]:
        """The vault under test."""
        with closing(self.make_vault(tmp_path)) as vault:
            yield vault

    @pytest.fixture
    def another(self, tmp_path: Path, vault: Any) -> Iterator[Any]:
        """A second vault over the same store."""
        if not self.lasting:
            pytest.skip("its keys are not persistent")
        with closing(self.reopen(tmp_path)) as another:
            yield another

    # Keys

    def test_key_is_created_once_and_stays_the_same(self, vault: Any) -> None:
        key = vault.key(ALICE)
        assert isinstance(key, bytes)
        assert len(key) == KEY_BYTES
        assert vault.key(ALICE) == key
        assert vault.find(ALICE) == key

    def test_find_creates_no_key(self, vault: Any) -> None:
        assert vault.find(ALICE) is None
        assert vault.held() == 0
        assert vault.find(ALICE) is None

    def test_every_ledger_has_its_own_key(self, vault: Any) -> None:
        keys = {vault.key(LedgerId(f"user:{number}")) for number in range(50)}
        assert len(keys) == 50
        assert vault.held() == 50

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_ledger_can_have_any_printable_name(self, vault: Any, name: str) -> None:
        key = vault.key(LedgerId(name))
        others = [LedgerId(other) for other in ODD_NAMES if other != name]
        assert all(vault.find(other) is None for other in others)
        assert key not in {vault.key(other) for other in others}
        assert vault.find(LedgerId(name)) == key

    def test_any_sequence_of_calls_behaves_like_a_dictionary(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        steps = st.lists(
            st.tuples(st.sampled_from(["key", "find", "destroy"]), st.integers(0, 3)), max_size=12
        )

        @given(st.lists(ledgers, min_size=4, max_size=4, unique=True), steps)
        def check(names: list[LedgerId], steps: list[tuple[str, int]]) -> None:
            with closing(self.make_vault(tmp_path_factory.mktemp("vault"))) as vault:
                known: dict[LedgerId, bytes | None] = {}
                for step, number in steps:
                    name = names[number]
                    if step == "destroy":
                        vault.destroy(name)
                        known[name] = None
                    elif name in known and known[name] is None:
                        with pytest.raises(Erased):
                            getattr(vault, step)(name)
                    else:
                        key = getattr(vault, step)(name)
                        assert key == known.get(name, key)
                        if step == "key":
                            known[name] = key
                        else:
                            assert key == known.get(name)
                assert vault.held() == sum(key is not None for key in known.values())

        check()

    # Destroy

    def test_destroyed_key_stays_destroyed(self, vault: Any) -> None:
        vault.key(ALICE)
        vault.destroy(ALICE)
        for ask in (vault.key, vault.find, vault.key):
            with pytest.raises(Erased, match=ALICE):
                ask(ALICE)
        assert vault.held() == 0

    def test_destroy_leaves_other_keys_unchanged(self, vault: Any) -> None:
        names = [LedgerId(f"user:{number}") for number in range(40)]
        keys = {name: vault.key(name) for name in names}
        for name in names[::2]:
            vault.destroy(name)
        assert [vault.find(name) for name in names[1::2]] == [keys[name] for name in names[1::2]]
        assert vault.held() == 20

    def test_second_destroy_does_nothing(self, vault: Any) -> None:
        vault.key(ALICE)
        vault.destroy(ALICE)
        vault.destroy(ALICE)
        with pytest.raises(Erased):
            vault.key(ALICE)

    def test_key_can_be_destroyed_before_it_is_created(self, vault: Any) -> None:
        vault.destroy(ALICE)
        with pytest.raises(Erased, match=ALICE):
            vault.key(ALICE)
        with pytest.raises(Erased, match=ALICE):
            vault.find(ALICE)
        assert vault.held() == 0

    # Concurrency and reopening

    def test_all_threads_get_the_same_key(self, vault: Any) -> None:
        outcomes = _at_once([lambda: vault.key(ALICE)] * RACERS)
        assert outcomes == [vault.find(ALICE)] * RACERS

    def test_threads_that_race_a_destroy_get_the_key_or_erased(self, vault: Any) -> None:
        key = vault.key(ALICE)
        outcomes = _at_once([lambda: vault.destroy(ALICE), *[lambda: vault.key(ALICE)] * RACERS])
        assert outcomes[0] is None
        assert all(found == key or isinstance(found, Erased) for found in outcomes[1:])
        with pytest.raises(Erased):
            vault.key(ALICE)

    def test_key_persists_after_its_vault_is_closed(self, vault: Any, another: Any) -> None:
        key = vault.key(ALICE)
        vault.close()
        assert another.find(ALICE) == key
        assert another.key(ALICE) == key
        assert another.held() == 1

    def test_vaults_that_create_a_key_at_once_return_the_same_key(
        self, tmp_path: Path, vault: Any, another: Any
    ) -> None:
        with ExitStack() as opened:
            more = [opened.enter_context(closing(self.reopen(tmp_path))) for _ in range(2)]
            vaults = [vault, another, *more]
            for number in range(10):
                name = LedgerId(f"user:{number}")
                calls = [partial(each.key, name) for each in vaults]
                assert len(set(_at_once(calls * 2))) == 1

    def test_key_destroyed_by_one_vault_is_erased_in_another(
        self, vault: Any, another: Any
    ) -> None:
        # Given two vaults that both returned the key
        assert vault.key(ALICE) == another.key(ALICE)
        bobs = vault.key(BOB)
        # When one of them destroys the key
        vault.destroy(ALICE)
        # Then the other no longer returns it
        for ask in (another.find, another.key):
            with pytest.raises(Erased, match=ALICE):
                ask(ALICE)
        assert another.find(BOB) == bobs

    def test_key_stays_destroyed_after_reopening(self, vault: Any, another: Any) -> None:
        vault.key(ALICE)
        vault.destroy(ALICE)
        vault.close()
        with pytest.raises(Erased, match=ALICE):
            another.key(ALICE)
        assert another.held() == 0

    # Ping and close

    def test_ping_names_the_vault_and_creates_nothing(self, vault: Any) -> None:
        assert vault.ping().strip()
        assert vault.held() == 0

    def test_second_close_does_nothing(self, vault: Any) -> None:
        vault.key(ALICE)
        vault.close()
        vault.close()
