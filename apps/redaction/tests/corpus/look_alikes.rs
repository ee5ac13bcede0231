//! Texts with an `@`, or with something that decodes to one, that hold no address.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

fn word(rng: &mut ChaCha8Rng) -> String {
    let words =
        ["core", "react", "icon", "left-pad", "alice", "shop", "node", "types", "logo", "build", "getty", "main"];
    (*words.choose(rng).unwrap()).to_owned()
}

fn version(rng: &mut ChaCha8Rng) -> String {
    let suffix = *["", "", "-rc.1", "-beta.2", "+7"].choose(rng).unwrap();
    format!("{}.{}.{}{suffix}", rng.random_range(0..30), rng.random_range(0..30), rng.random_range(0..30))
}

pub(crate) fn sample(rng: &mut ChaCha8Rng) -> String {
    let text = match rng.random_range(0..20) {
        0 => format!("@{}/{}", word(rng), word(rng)),
        1 => format!("{}@{}", word(rng), version(rng)),
        2 => format!("@{}/{}@{}", word(rng), word(rng), version(rng)),
        3 => format!(
            "{}@{}x.{}",
            word(rng),
            rng.random_range(1..4),
            ["png", "jpg", "webp", "svg", "gif"].choose(rng).unwrap()
        ),
        4 => format!("thanks @{} and @{}!", word(rng), word(rng)),
        5 => format!("{}@{}", word(rng), word(rng)),
        6 => format!("@{}:{}.org", word(rng), word(rng)),
        7 => format!("git@{}.com:{}/{}.git", word(rng), word(rng), word(rng)),
        8 => format!("{}@tty{}.service", word(rng), rng.random_range(0..9)),
        9 => format!("{} @ ${}.{}", word(rng), rng.random_range(1..99), rng.random_range(10..99)),
        10 => format!("{}@sha256:{:016x}", word(rng), rng.random::<u64>()),
        11 => format!("com.{}.Main@{:08x}", word(rng), rng.random::<u32>()),
        12 => format!("https://medium.com/@{}/{}", word(rng), word(rng)),
        13 => format!("https://unpkg.com/{}@{}/index.js", word(rng), version(rng)),
        14 => format!(
            "/maps/@{}.{},{}.{},15z",
            rng.random_range(0..90),
            rng.random_range(0..99),
            rng.random_range(0..90),
            word(rng)
        ),
        15 => format!("@media (min-width: {}px)", rng.random_range(1..2_000)),
        16 => format!("{}%40{} &#64;{} {}&commat;", word(rng), word(rng), word(rng), word(rng)),
        17 => format!("{}@v{}", word(rng), version(rng)),
        18 => format!("[redacted]@{}.com joe@[redacted] {}@", word(rng), word(rng)),
        _ => format!("{{\"{}\":\"@{}.com\",\"b\":\"{}@\"}}", word(rng), word(rng), word(rng)),
    };
    let (before, after) = *[("", ""), ("see ", " now"), ("(", ")"), ("a: ", ", b"), ("", "!")].choose(rng).unwrap();
    format!("{before}{text}{after}")
}
