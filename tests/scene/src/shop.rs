//! Events of a shop, from a seed: bots that fill carts, disorder, addresses, and every kind of malformed record.

use millpond_harness::Outgoing;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// The first event's time: fixed, so that a seed gives the same events every day.
pub const BEGIN_MS: i64 = 1_700_000_000_000;
/// Partitions of every topic.
pub const PARTITIONS: i32 = 4;
/// Stands in the payload of every malformed record; it must not appear in a log or a redactor's dead letter.
pub const CANARY: &str = "canary@leak.example";
/// The header that says which flaw a record has, for the oracle.
pub(crate) const FLAW: &str = "flaw";
/// The header with a record's number.
pub(crate) const NUMBER: &str = "number";

/// Event time between two events.
pub const STEP_MS: i64 = 15;

const USERS: u64 = 2_000;
const DISORDER_MS: i64 = 8_000;
const CHANNELS: [&str; 5] = ["mail", "search", "social", "ads", "tv"];

/// What is wrong with a record, and what each application calls it; `None`: it does not mind.
pub(crate) struct Flaw {
    pub(crate) name: &'static str,
    pub(crate) redaction: Option<&'static str>,
    pub(crate) fraud: Option<&'static str>,
    pub(crate) attribution: Option<&'static str>,
    pub(crate) loader: Option<&'static str>,
}

/// Reasons of redaction, fraud, attribution and loader. What redaction refuses the loader never sees.
const fn flaw(name: &'static str, reasons: [Option<&'static str>; 4]) -> Flaw {
    let [redaction, fraud, attribution, loader] = reasons;
    Flaw { name, redaction, fraud, attribution, loader }
}

const MALFORMED: Option<&str> = Some("malformed_value");
const NO_USER: Option<&str> = Some("missing_user_id");
const LONG_USER: Option<&str> = Some("user_id_too_long");
const NULL: Option<&str> = Some("null_value");
const NO_FIELD: Option<&str> = Some("missing_field");

pub(crate) const FLAWS: [Flaw; 11] = [
    flaw("not-utf8", [Some("not_utf8"), MALFORMED, MALFORMED, None]),
    flaw("not-json", [Some("not_json"), MALFORMED, MALFORMED, None]),
    flaw("too-deep", [Some("too_deep"), MALFORMED, MALFORMED, None]),
    flaw("wrong-type", [None, MALFORMED, MALFORMED, Some("wrong_type")]),
    flaw("not-an-object", [None, MALFORMED, MALFORMED, Some("not_an_object")]),
    flaw("no-user", [None, NO_USER, NO_USER, NO_FIELD]),
    flaw("null-user", [None, NO_USER, NO_USER, NO_FIELD]),
    flaw("long-user", [None, LONG_USER, LONG_USER, None]),
    flaw("no-order", [None, None, Some("missing_order_id"), None]),
    flaw("null-value", [None, NULL, NULL, NULL]),
    flaw("900-kb", [None, Some("item_url_too_long"), None, None]),
];

/// An endless stream of events.
#[derive(Debug)]
pub struct Shop {
    rng: ChaCha8Rng,
    number: i64,
    /// A bot at work: its user, the time of its next event, the time between two, and how many are left.
    bot: Option<(u64, i64, i64, u32)>,
}

impl Shop {
    /// The shop of that seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), number: 0, bot: None }
    }

    fn record(&self, value: Option<Vec<u8>>, at_ms: i64) -> Outgoing {
        let partition = i32::try_from(self.number % i64::from(PARTITIONS)).ok();
        let record = Outgoing { partition, value, timestamp_ms: Some(at_ms), ..Outgoing::default() };
        record.header(NUMBER, self.number.to_string())
    }

    fn event(&mut self, at_ms: i64) -> Value {
        let user = format!("u{}", self.rng.random_range(0..USERS));
        match self.rng.random_range(0..10) {
            0..3 => {
                let channel = CHANNELS.get(self.rng.random_range(0..CHANNELS.len()));
                let name = if self.rng.random_bool(0.5) { "visit" } else { "site_visit" };
                json!({ "user_id": user, "event_name": name, "channel": channel, "page": "/home" })
            }
            3 => json!({ "user_id": user, "event_name": "visit", "channel": null }),
            4..7 => {
                let item = format!("/i/{}", self.rng.random_range(0..500));
                json!({ "user_id": user, "event_name": "add_to_cart", "item_url": item })
            }
            7 => json!({
                "user_id": user, "event_name": "order_confirmed", "order_id": format!("o{}", self.number),
                "order_email": format!("{user}@shop.example"),
            }),
            _ => json!({
                "user_id": user, "event_name": "page_view", "page": format!("/p?to={user}%40shop.example&t={at_ms}"),
                "more": { format!("{user}@shop.example"): [1.50, "write to m\u{fc}ller@post.example, please"] },
            }),
        }
    }

    /// The next step of a bot, if one is at work.
    fn bot_event(&mut self, at_ms: i64) -> Option<Outgoing> {
        if self.bot.is_none() && self.rng.random_bool(0.002) {
            let user = self.rng.random_range(0..USERS);
            // Some are just too slow, some just too few.
            self.bot = Some((user, at_ms, self.rng.random_range(100..1_400), self.rng.random_range(4..12)));
        }
        let (user, next_ms, gap_ms, left) = self.bot?;
        self.bot = (left > 1).then_some((user, next_ms + gap_ms, gap_ms, left - 1));
        let event =
            json!({ "user_id": format!("u{user}"), "event_name": "add_to_cart", "item_url": format!("/b/{left}") });
        Some(self.record(Some(event.to_string().into_bytes()), next_ms))
    }

    fn malformed(&mut self, flaw: &Flaw, at_ms: i64) -> Outgoing {
        let mail = CANARY;
        let value = match flaw.name {
            "not-utf8" => {
                [format!("{{\"user_id\":\"u1\",\"event_name\":\"visit\",\"x\":\"{mail}").as_bytes(), b"\xff\"}"]
                    .concat()
            }
            "not-json" => format!("{{\"user_id\":\"{mail}\",").into_bytes(),
            "too-deep" => format!("{}\"{mail}\"{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes(),
            "wrong-type" => json!({ "user_id": 7, "event_name": "visit", "x": mail }).to_string().into_bytes(),
            "not-an-object" => json!([mail]).to_string().into_bytes(),
            "no-user" => json!({ "event_name": "add_to_cart", "x": mail }).to_string().into_bytes(),
            "null-user" => json!({ "user_id": null, "event_name": "visit", "x": mail }).to_string().into_bytes(),
            "long-user" => {
                let user = "x".repeat(600);
                json!({ "user_id": user, "event_name": "add_to_cart", "x": mail }).to_string().into_bytes()
            }
            "no-order" => json!({ "user_id": "u1", "event_name": "order_confirmed" }).to_string().into_bytes(),
            "900-kb" => {
                let item = format!("{mail} {}", "x".repeat(900_000));
                json!({ "user_id": "u1", "event_name": "add_to_cart", "item_url": item }).to_string().into_bytes()
            }
            _ => return self.record(None, at_ms).header(FLAW, flaw.name),
        };
        self.record(Some(value), at_ms).header(FLAW, flaw.name)
    }
}

impl Iterator for Shop {
    type Item = Outgoing;

    fn next(&mut self) -> Option<Outgoing> {
        self.number += 1;
        let at_ms = BEGIN_MS + self.number * STEP_MS - self.rng.random_range(0..DISORDER_MS);
        // Large records are rare; all other flaws take turns.
        if self.number % 5_000 == 2_500 {
            return FLAWS.last().map(|large| self.malformed(large, at_ms));
        }
        if self.number % 100 == 0 {
            let turn = usize::try_from(self.number / 100).unwrap_or_default() % (FLAWS.len() - 1);
            return FLAWS.get(turn).map(|flaw| self.malformed(flaw, at_ms));
        }
        if let Some(record) = self.bot_event(at_ms) {
            return Some(record);
        }
        let event = self.event(at_ms);
        let record = self.record(Some(event.to_string().into_bytes()), at_ms);
        Some(match self.rng.random_range(0..20) {
            0 => record.key(format!("u{}@shop.example", self.number)),
            1 => record.header("from", "anna.b@post.example"),
            _ => record,
        })
    }
}

/// An `add_to_cart` of each of these users at that time.
pub fn carts(users: impl IntoIterator<Item = String>, at_ms: i64) -> Vec<Outgoing> {
    let event = |user| json!({ "user_id": user, "event_name": "add_to_cart", "item_url": "/i/1" }).to_string();
    users.into_iter().map(|user| Outgoing::value(event(user)).at(at_ms)).collect()
}
