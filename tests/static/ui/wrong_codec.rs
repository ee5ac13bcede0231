// A text codec cannot encode an alert.

use millpond::dsl::Topic;
use millpond::serde::Utf8;

struct Alert {
    _items: u32,
}

const ALERTS: Topic<String, Alert> = Topic::new("alerts", &Utf8, &Utf8);

fn main() {
    assert_eq!(ALERTS.name(), "alerts");
}
