//! Values to bytes and back.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use millpond::serde::{Bincode, Int64, Json, Raw, Serde, Utf8};
use millpond_support::{Event, EventJson, EventName};

const EVENT: &[u8] = br#"{"user_id":"u4711","event_name":"visit","page":"/landing/7","channel":"instagram","agent":"abcdefghijklmnopabcdefghijklmnopabcdefghijklmnopabcdefghijklmnopabcdefghijklmnop"}"#;

pub(crate) fn measure(criterion: &mut Criterion) {
    let event = Event { channel: Some("instagram".into()), ..Event::new("u4711", EventName::Visit) };
    let mut group = criterion.benchmark_group("serde");
    both(&mut group, "an event, JSON", &Json, &event);
    both(&mut group, "an event, bincode", &Bincode, &event);
    both(&mut group, "text", &Utf8, &"u4711".to_owned());
    both(&mut group, "a number", &Int64, &4711_i64);
    let bytes = Bytes::from_static(EVENT);
    group.bench_function("an event of 170 B, checked JSON: decode", |bencher| {
        bencher.iter(|| EventJson.decode_bytes(black_box(&bytes)).unwrap());
    });
    group.bench_function("bytes of 170 B: decode", |bencher| {
        bencher.iter(|| Serde::<Bytes>::decode_bytes(&Raw, black_box(&bytes)).unwrap());
    });
    group.finish();
}

fn both<T>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    serde: &dyn Serde<T>,
    value: &T,
) {
    let mut bytes = Vec::new();
    serde.encode(value, &mut bytes).unwrap();
    let encoded = Bytes::from(bytes.clone());
    group.bench_function(format!("{name}: encode"), |bencher| {
        bencher.iter(|| {
            bytes.clear();
            serde.encode(black_box(value), &mut bytes).unwrap();
        });
    });
    group.bench_function(format!("{name}: decode"), |bencher| {
        bencher.iter(|| drop(serde.decode_bytes(black_box(&encoded)).unwrap()));
    });
}
