"""Any LangChain ``VectorStore`` as an external index, for engines without an adapter.

It uses only the common methods of such stores: add texts with metadata, search by vector, delete
by id. It has no keyword search, speakers or counts.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from attrs.validators import ge, matches_re
from langchain_core.documents import Document as Held
from langchain_core.embeddings import Embeddings

from remembrancer.adapters.damage import decoding
from remembrancer.adapters.index_scoring.argument_checks import (
    check_query,
    checked_vectors,
    components,
)
from remembrancer.adapters.index_scoring.hit_order import strongest_first
from remembrancer.adapters.vector_index.remote.packed_metadata import carried, hit, similarity, unit
from remembrancer.adapters.vector_index.remote.prefilter import Eligibility
from remembrancer.adapters.vector_index.remote.rows import row_of
from remembrancer.adapters.vector_index.remote.tokens import ledger_token, object_id
from remembrancer.domain.errors import AdapterUnavailable, InvalidRequest, RemembrancerError
from remembrancer.domain.facts.fact import FactKey
from remembrancer.domain.ports.embedder import Vector
from remembrancer.domain.ports.vector_index import Document, Hit, IndexQuery
from remembrancer.domain.scope import LedgerId

NAME = "langchain"
_GROWTH = 4
_PAGE = 1_000


@frozen(kw_only=True)
class LangchainSettings:
    """Settings of the LangChain index.

    Args:
        store: ``package.module:factory``; called once with an ``Embeddings``, returns the
            ``VectorStore``. The store must be used by this index only, and for one log: nothing
            refuses another one.
        narrow: ``package.module:function``; called with the value (str) of the metadata field
            ``ledger``, returns the store's ``filter`` for the documents of that ledger. Empty: a
            search reads the documents of all ledgers.
        most: maximum documents that one search reads.
        persistent: whether the store keeps its documents after the process ends.

    Raises:
        ValueError: a number out of range, or a name that is not ``package.module:name``.
    """

    store: str = field(validator=matches_re(r"[\w.]+:[\w.]+"))
    narrow: str = field(default="", validator=matches_re(r"([\w.]+:[\w.]+)?"))
    most: int = field(default=10_000, validator=ge(1))
    persistent: bool = True


class LangchainVectorIndex:
    """See ``ExternalIndex``. Thread-safe: calls are serialised, because not all stores are.

    Args:
        settings: the settings; the first call creates the store.
        model: name of the embedder.
        dimension: components per vector.
    """

    signals = frozenset({"similarity"})

    def __init__(self, settings: LangchainSettings, model: str, dimension: int) -> None:
        # A store that is not persistent needs a new fingerprint, so that it is filled again.
        self.fingerprint = settings.store if settings.persistent else uuid4().hex
        self._settings = settings
        self._dimension = dimension
        self._anywhere = [1.0] + [0.0] * (dimension - 1)
        self._lock = threading.Lock()
        self._made: Any = None
        self._closed = False
        self._batch_vectors: Mapping[str, list[float]] = {}

    def put(self, documents: Sequence[Document]) -> None:
        """See ``VectorIndex.put``."""
        vectors = checked_vectors(documents, self._dimension)
        latest = {each.key: (each, vector) for each, vector in zip(documents, vectors, strict=True)}
        with self._asking(NotImplementedError, TypeError, ValueError) as store:
            self._delete(store, list(latest))
            batch: dict[str, tuple[Document, Any]] = {}
            for document, vector in latest.values():
                if vector is not None:
                    # The store asks for vectors by text: a text may occur once per batch.
                    if document.text in batch:
                        self._add(store, batch)
                        batch = {}
                    batch[document.text] = (document, vector)
            self._add(store, batch)

    def remove(self, keys: Sequence[FactKey]) -> None:
        """See ``VectorIndex.remove``."""
        with self._asking() as store:
            self._delete(store, list(dict.fromkeys(keys)))

    def search(self, query: IndexQuery) -> list[Hit]:
        """See ``VectorIndex.search``; returns only ``signals``, and needs a vector.

        Raises:
            AdapterUnavailable: the store failed, or the search would read more than ``most``.
        """
        check_query(query)
        if query.vector is None:
            raise _lacking("keyword search")
        asked = unit(components(query.vector, self._dimension, "vector"))
        towards = self._direction(asked)
        eligible = Eligibility(query=query, condition=True, exact=False)
        named: dict[str, Any] = {}
        size = 2 * query.limit
        with self._asking() as store:
            if self._settings.narrow:
                narrow = _imported(self._settings.narrow, "vector_index.narrow")
                named["filter"] = narrow(ledger_token(query.scope.ledger))
            while True:
                size = min(size, self._settings.most)
                found = store.similarity_search_by_vector(towards, k=size, **named)
                with decoding(f"{NAME}, {type(store).__name__}, metadata"):
                    near = [similarity(each.metadata, asked) for each in found]
                    pairs = zip(found, near, strict=True)
                    hits = [one for each, s in pairs if (one := hit(each.metadata, s, eligible))]
                best = heapq.nsmallest(query.limit, hits, key=lambda one: (-one.strength, one.key))
                # Unseen documents are not nearer than the last one found. If that one is below the
                # cut, no tie is missing. Zero vectors may be at any rank, so skip them.
                last = next(filter(None, reversed(near)), 0.0)
                enough = len(best) == query.limit and last < best[-1].strength
                if enough or len(found) < size:
                    return strongest_first(best)
                if size == self._settings.most:
                    raise AdapterUnavailable(
                        NAME,
                        f"read {size} documents (vector_index.most) without finding the best "
                        f"{query.limit}; set vector_index.narrow, or raise vector_index.most",
                    )
                size *= _GROWTH

    def speakers(self, ledger: LedgerId) -> Sequence[str]:
        """Not supported: raises InvalidRequest."""
        raise _lacking("speakers")

    def vectors_for(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """Return no vectors; see ``ExternalIndex``."""
        return {}

    def count(self, ledger: LedgerId) -> int:
        """Not supported: raises InvalidRequest."""
        raise _lacking("counts")

    def clear(self) -> None:
        """See ``Engine.clear``: deletes the results of a search, page by page."""
        deleted: set[str] = set()
        with self._asking() as store:
            while found := store.similarity_search_by_vector(self._anywhere, k=_PAGE):
                with decoding(f"{NAME}, {type(store).__name__}, metadata"):
                    ids = {str(object_id(row_of(each.metadata).key)) for each in found}
                if ids <= deleted or store.delete(ids=sorted(ids)) is False:
                    raise AdapterUnavailable(NAME, "the store did not delete all documents")
                deleted |= ids

    def ping(self) -> str:
        """See ``Engine.ping``."""
        with self._asking() as store:
            store.similarity_search_by_vector(self._anywhere, k=1)
            return f"langchain-core {version('langchain-core')}, {type(store).__name__}"

    def close(self) -> None:
        """See ``Engine.close``. Stores have no ``close``: the reference is dropped."""
        with self._lock:
            self._made, self._closed = None, True

    def _add(self, store: Any, batch: Mapping[str, tuple[Document, Any]]) -> None:
        if batch:
            vectors = {text: self._direction(unit(v)) for text, (_, v) in batch.items()}
            self._batch_vectors = vectors
            store.add_documents(
                [Held(page_content=text, metadata=carried(*one)) for text, one in batch.items()],
                ids=[str(object_id(document.key)) for document, _ in batch.values()],
            )

    def _delete(self, store: Any, keys: Sequence[FactKey]) -> None:
        ids = [str(object_id(key)) for key in keys]
        with suppress(NotImplementedError):
            # Some stores refuse to delete unknown ids.
            ids = [found.id for found in store.get_by_ids(ids)] if ids else []
        if ids and store.delete(ids=ids) is False:
            raise AdapterUnavailable(NAME, "the store did not delete the documents")

    @contextmanager
    def _asking(self, *refusals: type[Exception]) -> Iterator[Any]:
        """Lock and yield the store, and translate its exceptions.

        Args:
            refusals: exceptions that become ``InvalidRequest`` instead of ``AdapterUnavailable``.
        """
        with self._lock:
            if self._closed:
                raise AdapterUnavailable(NAME, "the index has been closed; open it again")
            try:
                if self._made is None:
                    make = _imported(self._settings.store, "vector_index.store")
                    self._made = make(_BatchEmbeddings(self._vector_of))
                self._batch_vectors = {}
                yield self._made
            except RemembrancerError:
                raise
            except Exception as error:
                problem = f"the store failed: {error!r}"
                if isinstance(error, refusals):
                    raise InvalidRequest("vector_index.store", problem) from error
                raise AdapterUnavailable(NAME, problem) from error

    def _direction(self, vector: npt.NDArray[np.float64]) -> list[float]:
        """Return the vector for the store; a zero vector is replaced, as many stores refuse it."""
        return vector.tolist() if vector.any() else self._anywhere

    def _vector_of(self, text: str) -> list[float]:
        if self._made is None:
            # Some stores embed a text in their constructor, to find the dimension.
            return self._anywhere
        if text not in self._batch_vectors:
            raise InvalidRequest(
                "vector_index.store",
                "the store changes texts before it embeds them; use a store that does not",
            )
        return self._batch_vectors[text]


class _BatchEmbeddings(Embeddings):
    """Embedding model for the store; returns the vectors of the current batch."""

    def __init__(self, vector_of: Callable[[str], list[float]]) -> None:
        self._vector_of = vector_of

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vector_of(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._vector_of(text)


def _imported(name: str, path: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = attrgetter(attribute)(import_module(module))
    except (ImportError, AttributeError) as error:
        raise InvalidRequest(path, f"cannot import {name}: {error}") from error
    return found


def _lacking(what: str) -> InvalidRequest:
    return InvalidRequest("vector_index", f"{NAME} has no {what}; use the index of the store")
