//! Keys in an order of bytes, and the partition of a key.

use std::hint::black_box;

use criterion::Criterion;
use millpond::partitioner::partition_for_key;
use millpond::serde::{Ordered, Serde};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keys");
    let key = ("u4711".to_owned(), 1_700_000_000_000_i64);
    let mut bytes = Vec::new();
    Ordered.encode(&key, &mut bytes).unwrap();
    let encoded = bytes.clone();
    group.bench_function("a pair of text and number: encode", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            Serde::<(String, i64)>::encode(&Ordered, black_box(&key), &mut bytes).unwrap();
        });
    });
    group.bench_function("a pair of text and number: decode", |bencher| {
        bencher.iter(|| Serde::<(String, i64)>::decode(&Ordered, black_box(&encoded)).unwrap());
    });
    group.bench_function("the partition of a key", |bencher| {
        bencher.iter(|| partition_for_key(black_box(b"u4711"), 64));
    });
    group.finish();
}
