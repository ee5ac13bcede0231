//! Everything that boards and rules ask of Prometheus, as it can be asked by itself.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// An expression with where it stands, ready for Prometheus.
pub(crate) struct Expression {
    pub(crate) place: String,
    pub(crate) text: String,
}

pub(crate) fn grafana(below: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../grafana").join(below)
}

/// All expressions of all panels, and those of all rules.
pub(crate) fn all() -> Vec<Expression> {
    let files = fs::read_dir(grafana("dashboards")).unwrap().map(|file| file.unwrap().path());
    let boards = files.map(|file| serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap());
    let panels = boards.flat_map(|board| of_panels(&board, &variables(&board)));
    panels.chain(of_rules()).collect()
}

/// The board's variables and Grafana's own; the longer names first, because some begin with others.
fn variables(board: &Value) -> Vec<(String, String)> {
    let own = board["templating"]["list"].as_array().unwrap().iter();
    // The choice "All": of the board of one application, that one.
    let uid = board["uid"].as_str().unwrap().trim_start_matches("millpond-");
    let own = own.map(|variable| {
        let all = variable["allValue"].as_str().unwrap_or(uid).to_owned();
        (format!("${}", variable["name"].as_str().unwrap()), all)
    });
    let grafanas = [("$__rate_interval", "10s"), ("$__interval", "1s")];
    own.chain(grafanas.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

fn of_panels(board: &Value, variables: &[(String, String)]) -> Vec<Expression> {
    let mut found = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap().to_owned();
            let text = variables.iter().fold(text, |text, (name, value)| text.replace(name, value));
            assert!(!text.contains('$'), "an unknown variable in {text}");
            let place = format!("{}, {}", board["title"].as_str().unwrap(), panel["title"].as_str().unwrap());
            found.push(Expression { place, text });
        }
    }
    found
}

/// Recording rules as they are. An alert's expression is empty as long as all is well: it is asked as [`of_alert`] has it, and
/// so is each series that it looks at, because nothing shows whether an excuse that excuses nothing ever could.
fn of_rules() -> Vec<Expression> {
    let mut found = Vec::new();
    for file in ["recording.yml", "alerts.yml"] {
        let text = fs::read_to_string(grafana("rules").join(file)).unwrap();
        let rules: Value = serde_saphyr::from_str(&text).unwrap();
        for rule in rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
            let expression = rule["expr"].as_str().unwrap();
            match rule["alert"].as_str() {
                Some(alert) => {
                    let texts = selectors(expression).into_iter().chain([of_alert(expression)]);
                    found.extend(texts.map(|text| Expression { place: format!("alert {alert}"), text }));
                }
                None => found.push(Expression {
                    place: rule["record"].as_str().unwrap().to_owned(),
                    text: expression.to_owned(),
                }),
            }
        }
    }
    found
}

/// An alert's expression so that it has a value also while all is well: a comparison says yes or no instead of leaving series
/// out, and what is absent when it fires is asked for. What excuses (`unless`) stays as it is: all is well, so it leaves nothing
/// out. Joins, functions and ranges are the alert's own.
fn of_alert(expression: &str) -> String {
    let (complaint, excuse) = expression.split_at(expression.find("unless").unwrap_or(expression.len()));
    let words = complaint.split_whitespace().map(|word| match word {
        "==" | "!=" | ">" | "<" | ">=" | "<=" => format!("{word} bool"),
        _ => word.replace("absent(", "("),
    });
    let words: Vec<String> = words.chain(excuse.split_whitespace().map(str::to_owned)).collect();
    words.join(" ")
}

/// The series that an expression selects, with their matchers.
fn selectors(expression: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let matchers = after.strip_prefix('{').and_then(|inside| inside.find('}')).map_or(0, |end| end + 2);
        if name == "up" || ["millpond_", "millpond:", "process_"].iter().any(|prefix| name.starts_with(prefix)) {
            found.push(format!("{name}{}", &after[..matchers]));
        }
        rest = &after[matchers..];
    }
    found
}

#[test]
fn selectors_are_found_with_their_matchers() {
    let expression =
        "sum by (application_id) (rate(millpond_a_total{r=~\"x|y\"}[5m])) > 0 and m:x unless on (up_) up == 0";
    assert_eq!(selectors(expression), ["millpond_a_total{r=~\"x|y\"}", "up"]);
}

#[test]
fn an_alert_is_asked_whole_and_without_what_leaves_series_out() {
    for (alert, asked) in [
        ("up{job=~\".*m.*\"} == 0", "up{job=~\".*m.*\"} == bool 0"),
        ("absent(millpond_a)", "(millpond_a)"),
        (
            "(sum(rate(a[1m])) == 0)\n  and on (i) (b > 0)\n  unless on (i) (c{s=\"r\"} > 0)\n",
            "(sum(rate(a[1m])) == bool 0) and on (i) (b > bool 0) unless on (i) (c{s=\"r\"} > 0)",
        ),
    ] {
        assert_eq!(of_alert(alert), asked);
    }
}
