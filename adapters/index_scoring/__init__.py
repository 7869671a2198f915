"""What every index computes alike: terms, names, BM25, the order of hits."""
