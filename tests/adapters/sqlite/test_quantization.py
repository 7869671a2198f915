"""Quantization codes and term hashes: stable across releases; codes find nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from remembrancer.adapters.stores.sqlite.vector_index.block import ALWAYS, EVER, Times
from remembrancer.adapters.stores.sqlite.vector_index.embeddings import Vectors
from remembrancer.adapters.stores.sqlite.vector_index.loaded import LoadedSegment, Shelf
from remembrancer.adapters.stores.sqlite.vector_index.quantization import (
    CODE_BITS,
    HALF_WORDS,
    rotation_for,
)
from remembrancer.adapters.stores.sqlite.vector_index.scanning import Scan
from remembrancer.adapters.stores.sqlite.vector_index.segments import Segment
from remembrancer.adapters.stores.sqlite.vector_index.terms import number_of


def test_term_numbers_are_stable() -> None:
    assert number_of("tea") == -8015135494872013382
    assert number_of("東京") == -1140702830356262418


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (2, "056fd4a786c18f1d"),
        (384, "c08e49de650ef614"),
        (1024, "4565d97f5f6d148c"),
    ],
)
def test_vector_codes_are_stable(dimension: int, expected: str) -> None:
    # All sums are integers, so the order of additions does not matter.
    vector = np.zeros((1, dimension), np.float32)
    vector[0, 0] = 1.0
    codes = rotation_for(dimension).codes(vector, np.zeros(dimension, np.float32))
    assert codes.tobytes()[:8].hex() == expected


@pytest.mark.parametrize("dimension", [2, 64, 384, 768, 3072])
def test_hamming_distance_estimates_the_angle(dimension: int) -> None:
    chance = np.random.default_rng(dimension)
    one, other = chance.standard_normal((2, dimension)).astype(np.float32)
    mixed = np.stack([one + share * other for share in (0.0, 0.3, 1.0, 3.0)]).astype(np.float32)
    codes = rotation_for(dimension).codes(mixed, np.zeros(dimension, np.float32))
    apart = np.bitwise_count(codes ^ codes[0]).sum(axis=1)
    cosines = mixed @ one / np.linalg.norm(mixed, axis=1) / np.linalg.norm(one)
    # In two dimensions the bits are not independent.
    tolerance = 5 / np.sqrt(CODE_BITS) if dimension > 2 else 0.4
    assert np.cos(np.pi * apart / CODE_BITS) == pytest.approx(cosines, abs=tolerance)


def shelf_of(vectors: Vectors, centre: Vectors) -> Shelf:
    """Segments of 3,000 vectors each, all visible."""
    rotation = rotation_for(vectors.shape[1])
    segments = []
    for start in range(0, len(vectors), 3_000):
        part = vectors[start : start + 3_000]
        codes = rotation.codes(part, centre)
        count = len(part)
        segments.append(
            LoadedSegment(
                row=Segment(start, 1, 1, 0, 0, count, count, 0),
                numbers=np.arange(count, dtype=np.uint32),
                embeddings=np.arange(1, count + 1, dtype=np.uint32),
                embedded=np.ones(count, np.bool_),
                all_embedded=True,
                scopes=np.zeros(count, np.uint32),
                times=Times(*(np.full(count, end) for end in (ALWAYS, EVER, ALWAYS, EVER))),
                sieve=np.ascontiguousarray(codes[:, :HALF_WORDS].T),
                refine=np.ascontiguousarray(codes[:, HALF_WORDS:]),
            )
        )
    return Shelf(segments, lambda segment: np.ones(len(segment), np.bool_))


def test_nearest_by_code_contain_the_nearest_by_cosine() -> None:
    # Vectors shaped like sentence embeddings: topics, a falling spectrum, a common direction.
    chance = np.random.default_rng(7)
    spread = 1 / np.sqrt(np.arange(128) + 4.0)
    topics = chance.standard_normal((200, 128)) * spread
    vectors = topics[chance.integers(0, 200, 20_000)]
    vectors += chance.standard_normal(vectors.shape) * spread * 0.8 + 0.2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors.astype(np.float32)
    centre = vectors.mean(axis=0)
    shelf = shelf_of(vectors, centre)
    found = []
    for asked in vectors[:50] + chance.standard_normal((50, 128)).astype(np.float32) * 0.02:
        asked /= np.linalg.norm(asked)
        nearest = np.argsort(-(vectors @ asked))[:10]
        near = Scan(shelf, rotation_for(128), asked, centre).nearest(200)
        assert near.size == 200
        found.append(np.isin(nearest, near).mean())
    assert np.mean(found) >= 0.95


def test_scan_never_returns_hidden_documents() -> None:
    chance = np.random.default_rng(3)
    vectors = chance.standard_normal((7_000, 16)).astype(np.float32)
    shelf = shelf_of(vectors, np.zeros(16, np.float32))
    visible = chance.random(7_000) < 0.01
    shelf.seen = np.split(visible, shelf.starts[1:-1])
    scan = Scan(shelf, rotation_for(16), vectors[0], np.zeros(16, np.float32))
    for wanted in (5, 10_000):
        near = scan.nearest(wanted)
        assert visible[near].all()
        assert near.size == min(wanted, np.count_nonzero(visible))
