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
    """What the calls return or raise, made by as many threads."""
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
    """Inherit, and say how a fresh, empty vault is made, and how its store is opened again."""

    lasting = True
    """Whether the keys outlast the vault that they were asked from; if not, ``reopen`` is not
    called.
    """

    def make_vault(self, tmp_path: Path) -> Any:
        """A fresh, empty vault; ``tmp_path`` is a folder of its own."""
        raise NotImplementedError

    def reopen(self, tmp_path: Path) -> Any:
        """One more vault over the store of the one that ``make_vault`` made there."""
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
            pytest.skip("its keys do not outlast it")
        with closing(self.reopen(tmp_path)) as another:
            yield another

    # Keys

    def test_a_key_is_made_once_and_stays(self, vault: Any) -> None:
        key = vault.key(ALICE)
        assert isinstance(key, bytes)
        assert len(key) == KEY_BYTES
        assert vault.key(ALICE) == key
        assert vault.find(ALICE) == key

    def test_looking_one_up_makes_none(self, vault: Any) -> None:
        assert vault.find(ALICE) is None
        assert vault.held() == 0
        assert vault.find(ALICE) is None

    def test_every_ledger_has_a_key_of_its_own(self, vault: Any) -> None:
        keys = {vault.key(LedgerId(f"user:{number}")) for number in range(50)}
        assert len(keys) == 50
        assert vault.held() == 50

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_a_ledger_may_have_any_printable_name(self, vault: Any, name: str) -> None:
        key = vault.key(LedgerId(name))
        others = [LedgerId(other) for other in ODD_NAMES if other != name]
        assert all(vault.find(other) is None for other in others)
        assert key not in {vault.key(other) for other in others}
        assert vault.find(LedgerId(name)) == key

    def test_whatever_is_done_it_answers_as_a_dictionary_would(
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

    # Destroying

    def test_a_destroyed_key_is_gone_for_good(self, vault: Any) -> None:
        vault.key(ALICE)
        vault.destroy(ALICE)
        for ask in (vault.key, vault.find, vault.key):
            with pytest.raises(Erased, match=ALICE):
                ask(ALICE)
        assert vault.held() == 0

    def test_destroying_leaves_the_keys_of_others_alone(self, vault: Any) -> None:
        names = [LedgerId(f"user:{number}") for number in range(40)]
        keys = {name: vault.key(name) for name in names}
        for name in names[::2]:
            vault.destroy(name)
        assert [vault.find(name) for name in names[1::2]] == [keys[name] for name in names[1::2]]
        assert vault.held() == 20

    def test_destroying_twice_is_destroying_once(self, vault: Any) -> None:
        vault.key(ALICE)
        vault.destroy(ALICE)
        vault.destroy(ALICE)
        with pytest.raises(Erased):
            vault.key(ALICE)

    def test_a_key_that_was_never_made_can_be_destroyed(self, vault: Any) -> None:
        vault.destroy(ALICE)
        with pytest.raises(Erased, match=ALICE):
            vault.key(ALICE)
        with pytest.raises(Erased, match=ALICE):
            vault.find(ALICE)
        assert vault.held() == 0

    # At once, and again

    def test_all_threads_get_the_same_key(self, vault: Any) -> None:
        outcomes = _at_once([lambda: vault.key(ALICE)] * RACERS)
        assert outcomes == [vault.find(ALICE)] * RACERS

    def test_threads_that_ask_while_it_is_destroyed_get_that_key_or_none(self, vault: Any) -> None:
        key = vault.key(ALICE)
        outcomes = _at_once([lambda: vault.destroy(ALICE), *[lambda: vault.key(ALICE)] * RACERS])
        assert outcomes[0] is None
        assert all(found == key or isinstance(found, Erased) for found in outcomes[1:])
        with pytest.raises(Erased):
            vault.key(ALICE)

    def test_a_key_outlasts_its_vault(self, vault: Any, another: Any) -> None:
        key = vault.key(ALICE)
        vault.close()
        assert another.find(ALICE) == key
        assert another.key(ALICE) == key
        assert another.held() == 1

    def test_two_vaults_that_are_asked_first_at_once_give_the_same_key(
        self, tmp_path: Path, vault: Any, another: Any
    ) -> None:
        with ExitStack() as opened:
            more = [opened.enter_context(closing(self.reopen(tmp_path))) for _ in range(2)]
            vaults = [vault, another, *more]
            for number in range(10):
                name = LedgerId(f"user:{number}")
                calls = [partial(each.key, name) for each in vaults]
                assert len(set(_at_once(calls * 2))) == 1

    def test_what_one_vault_destroyed_no_other_hands_out(self, vault: Any, another: Any) -> None:
        # Given two vaults that both have handed it out
        assert vault.key(ALICE) == another.key(ALICE)
        bobs = vault.key(BOB)
        # When one of them destroys it
        vault.destroy(ALICE)
        # Then the other has it neither
        for ask in (another.find, another.key):
            with pytest.raises(Erased, match=ALICE):
                ask(ALICE)
        assert another.find(BOB) == bobs

    def test_a_key_stays_destroyed_when_the_store_is_opened_again(
        self, vault: Any, another: Any
    ) -> None:
        vault.key(ALICE)
        vault.destroy(ALICE)
        vault.close()
        with pytest.raises(Erased, match=ALICE):
            another.key(ALICE)
        assert another.held() == 0

    # Being looked at

    def test_it_says_what_it_is_and_makes_nothing_for_it(self, vault: Any) -> None:
        assert vault.ping().strip()
        assert vault.held() == 0

    def test_closing_twice_is_closing_once(self, vault: Any) -> None:
        vault.key(ALICE)
        vault.close()
        vault.close()
