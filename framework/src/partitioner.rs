//! Which partition a key goes to: the Java client's choice, so that our topics co-partition with Java producers'.

use crate::record::Partition;

/// Kafka's murmur2: 32 bits, seed `0x9747b28c`, little-endian words.
pub const fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Keys are below 4 GiB; Java's length is an int, which this cast equals.
    #[allow(clippy::cast_possible_truncation, reason = "the hash takes the length's low 32 bits")]
    let mut h = SEED ^ data.len() as u32;
    let (words, mut tail) = data.as_chunks::<4>();
    let mut words = words;
    while let [word, rest @ ..] = words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ (k ^ (k >> R)).wrapping_mul(M);
        words = rest;
    }
    if !tail.is_empty() {
        while let [rest @ .., last] = tail {
            h ^= (*last as u32) << (8 * rest.len());
            tail = rest;
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    (h ^ (h >> 15)).cast_signed()
}

/// The partition of a record with this key, out of `partitions`: `toPositive(murmur2(key)) % partitions`.
///
/// A topic has at least one partition: numbers below one count as one.
pub const fn partition_for_key(key: &[u8], partitions: i32) -> Partition {
    // Kafka's toPositive drops the sign bit; it is not the absolute value.
    let hash = murmur2(key) & i32::MAX;
    Partition(hash % at_least_one(partitions))
}

/// The partition of a record without a key: they take turns, by a counter that the caller keeps.
///
/// The Java client stays with one partition for a batch and picks the next at random; nothing may depend on which.
/// Here the same counter always gives the same partition, so that a simulation can be replayed. For fewer, larger
/// batches, advance the counter per batch instead of per record.
pub const fn partition_without_key(counter: u64, partitions: i32) -> Partition {
    let partitions = at_least_one(partitions);
    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below an i32")]
    let turn = (counter % partitions.cast_unsigned() as u64) as i32;
    Partition(turn)
}

const fn at_least_one(partitions: i32) -> i32 {
    if partitions < 1 { 1 } else { partitions }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Key bytes in hexadecimal, hash, partition out of 2, 3, 12 and 1000.
    ///
    /// Made by `Utils.murmur2` and `Utils.toPositive` of org.apache.kafka:kafka-clients:4.3.1 (package
    /// `org.apache.kafka.common.utils`), run on JDK 17 over short and long keys, UTF-8, runs of 0x00 and 0xff, and the
    /// bytes of Kafka's own integer serializers.
    #[allow(clippy::unreadable_literal, reason = "as Java printed them")]
    const GOLDEN: &[(&str, i32, [i32; 4])] = &[
        ("", 275646681, [1, 0, 9, 681]),
        ("61", -1563381124, [0, 1, 4, 524]),
        ("6162", 316155434, [0, 2, 2, 434]),
        ("616263", 479470107, [1, 0, 3, 107]),
        ("61626364", -1323649548, [0, 2, 8, 100]),
        ("6162636465", 461995741, [1, 1, 1, 741]),
        ("616263646566", 1870650108, [0, 0, 0, 108]),
        ("61626364656667", -346467175, [1, 1, 1, 473]),
        ("6162636465666768", -955427363, [1, 0, 9, 285]),
        ("616263646566676869", -619679810, [0, 0, 6, 838]),
        ("30", 971027396, [0, 2, 8, 396]),
        ("31", -1993445489, [1, 0, 3, 159]),
        ("3231", -973932308, [0, 0, 0, 340]),
        ("757365722d31", 1404122828, [0, 2, 8, 828]),
        ("757365722d32", -324981792, [0, 2, 8, 856]),
        ("757365722d3432", 1459644460, [0, 1, 4, 460]),
        ("666f6f626172", -790332482, [0, 0, 6, 166]),
        ("612d6c6974746c652d6269742d6c6f6e672d737472696e67", -985981536, [0, 2, 8, 112]),
        ("612d6c6974746c652d6269742d6c6f6e6765722d737472696e67", -1486304829, [1, 2, 11, 819]),
        (
            "6c6b6a683233346c68396669756839307932336f697568736166756a6861646f66323239706872396831396838396838",
            -58897971,
            [1, 2, 5, 677],
        ),
        (
            "54686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f67",
            495243318,
            [0, 0, 6, 318],
        ),
        ("c3a9", 186971271, [1, 0, 3, 271]),
        ("4772c3bcc39f65", 1190824359, [1, 0, 3, 359]),
        ("e697a5e69cace8aa9e", 1431860170, [0, 1, 10, 170]),
        ("d0bad0b8d180d0b8d0bbd0bbd0b8d186d0b0", -276244314, [0, 2, 2, 334]),
        ("f09fa680", 1309741855, [1, 1, 7, 855]),
        ("f09fa680f09fa68020706f6e64", -106456004, [0, 0, 0, 644]),
        ("610062", -19837367, [1, 0, 9, 281]),
        ("ff", -311467685, [1, 0, 3, 963]),
        ("ffff", -1642832928, [0, 2, 8, 720]),
        ("ffffff", 1548199422, [0, 0, 6, 422]),
        ("ffffffff", 644171429, [1, 2, 5, 429]),
        ("ffffffffff", -363838622, [0, 0, 6, 26]),
        ("ffffffffffffff", -71293549, [1, 1, 7, 99]),
        ("ffffffffffffffff", 185950397, [1, 2, 5, 397]),
        ("ffffffffffffffffff", 1612811207, [1, 2, 11, 207]),
        ("00", 375494588, [0, 2, 8, 588]),
        ("00000000", 850957120, [0, 1, 4, 120]),
        ("00000000000000", 1067877175, [1, 1, 7, 175]),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263",
            697119286,
            [0, 1, 10, 286],
        ),
        (
            "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878",
            1249054468,
            [0, 1, 4, 468],
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            -1948347274,
            [0, 1, 10, 374],
        ),
        ("8081fe7f80", -244894696, [0, 1, 4, 952]),
        ("0000011f71fb04cb", 154523340, [0, 0, 0, 340]),
        ("00000007", -1028359445, [1, 0, 3, 203]),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn hashes_equal_those_of_the_java_client() {
        assert!(GOLDEN.len() >= 40);
        for (key, hash, _) in GOLDEN {
            assert_eq!(murmur2(&bytes(key)), *hash, "{key}");
        }
    }

    #[test]
    fn partitions_equal_those_of_the_java_client() {
        for (key, _, partitions) in GOLDEN {
            let ours = [2, 3, 12, 1000].map(|count| partition_for_key(&bytes(key), count).0);
            assert_eq!(ours, *partitions, "{key}");
        }
    }

    #[test]
    fn records_without_a_key_take_turns() {
        let turns: Vec<i32> = (0..7).map(|counter| partition_without_key(counter, 3).0).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(partition_without_key(u64::MAX, i32::MAX), Partition(3));
    }

    #[test]
    fn no_number_of_partitions_panics() {
        for partitions in [i32::MIN, -1, 0, 1] {
            assert_eq!(partition_for_key(b"key", partitions), Partition(0));
            assert_eq!(partition_without_key(7, partitions), Partition(0));
        }
    }

    /// `Utils.murmur2` as written in Java, index by index.
    fn naive(data: &[u8]) -> i32 {
        let m = 0x5bd1_e995_u32;
        let mut h = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
        let words = data.len() / 4;
        for word in 0..words {
            let mut k = 0;
            for byte in 0..4 {
                k += u32::from(data[word * 4 + byte]) << (8 * byte);
            }
            k = k.wrapping_mul(m);
            k ^= k >> 24;
            h = h.wrapping_mul(m) ^ k.wrapping_mul(m);
        }
        let rest = data.len() % 4;
        if rest == 3 {
            h ^= u32::from(data[words * 4 + 2]) << 16;
        }
        if rest >= 2 {
            h ^= u32::from(data[words * 4 + 1]) << 8;
        }
        if rest >= 1 {
            h ^= u32::from(data[words * 4]);
            h = h.wrapping_mul(m);
        }
        h ^= h >> 13;
        h = h.wrapping_mul(m);
        h ^= h >> 15;
        h.cast_signed()
    }

    proptest! {
        #[test]
        fn every_key_hashes_as_the_java_algorithm(key: Vec<u8>) {
            prop_assert_eq!(murmur2(&key), naive(&key));
        }

        #[test]
        fn partitions_are_in_range(key: Vec<u8>, counter: u64, partitions in 1..i32::MAX) {
            prop_assert!((0..partitions).contains(&partition_for_key(&key, partitions).0));
            prop_assert!((0..partitions).contains(&partition_without_key(counter, partitions).0));
        }
    }
}
