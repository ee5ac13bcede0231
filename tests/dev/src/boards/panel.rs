//! One panel: what it asks of Prometheus, made from the metric's kind, unit and labels.

use anyhow::bail;
use millpond::metrics::{Kind, Unit};
use serde_json::{Value, json};

use super::board::Scope;
use super::catalog::{Catalog, Entry};

/// What a panel shows of its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// The value of a gauge: the sum of those that fall together.
    Sum,
    /// The largest.
    Max,
    /// The smallest, as one figure.
    Smallest,
    /// Growth a second of a counter.
    Rate,
    /// Growth in the last ten minutes of a counter.
    Recent,
    /// A counter's value since the start.
    Total,
    /// Half and 99 of 100 of a histogram's values are not above this.
    Quantiles,
    /// A histogram over time.
    Spread,
    /// Seconds of each second that a histogram has counted.
    Share,
    /// How long ago a moment was.
    Age,
    /// How far a clock is from Prometheus's.
    Skew,
    /// The first metric less the second.
    Less,
    /// The first metric as a part of the second.
    Part,
    /// The part of a counter's growth that has the result `miss`.
    Missed,
    /// Growth of a gauge a second.
    Slope,
}

/// A panel as it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) show: Show,
    pub(super) metrics: &'static [&'static str],
    /// Labels by which series are told apart on the board of one application.
    pub(super) by: &'static [&'static str],
    /// Matchers, beside that of the application.
    pub(super) only: &'static str,
    /// Those that have it: not every metric exists everywhere.
    pub(super) scopes: &'static [Scope],
}

/// Labels that would make too many series where applications are beside each other.
const FINE: [&str; 7] = ["broker", "instance", "partition", "quantile", "store", "task", "thread"];

/// Grafana's name for a window that fits the scrape interval.
const WINDOW: &str = "$__rate_interval";

impl Panel {
    /// The panel as Grafana reads it, on that board.
    pub(super) fn json(&self, catalog: &Catalog, scope: Scope) -> anyhow::Result<Value> {
        let by: Vec<&str> = if scope.is_application() {
            self.by.to_vec()
        } else {
            let coarse = self.by.iter().copied().filter(|label| !FINE.contains(label));
            std::iter::once("application_id").chain(coarse).collect()
        };
        let mut targets = Vec::new();
        let entries = self.metrics.iter().map(|name| catalog.get(name, self.by)).collect::<anyhow::Result<Vec<_>>>()?;
        let Some(first) = entries.first() else { bail!("{} has no metric", self.title) };
        for (expression, name) in self.expressions(&entries, &by)? {
            let by = if self.show == Show::Spread { &["le"][..] } else { &by[..] };
            let labels = by.iter().map(|label| format!("{{{{{label}}}}}"));
            let legend: Vec<String> = labels.chain(name).collect();
            targets.push(json!({
                "refId": letter(targets.len()),
                "datasource": datasource(),
                "expr": expression,
                "legendFormat": if legend.is_empty() { self.title.to_lowercase() } else { legend.join(" ") },
                "format": if self.show == Show::Spread { "heatmap" } else { "time_series" },
            }));
        }
        let described: Vec<&str> = entries.iter().map(|entry| entry.help).collect();
        Ok(json!({
            "type": match self.show {
                Show::Smallest => "stat",
                Show::Spread => "heatmap",
                _ => "timeseries",
            },
            "title": self.title,
            "description": described.join(". "),
            "datasource": datasource(),
            "fieldConfig": { "defaults": self.field(first), "overrides": [] },
            "options": self.options(),
            "targets": targets,
        }))
    }

    /// Expressions, each with what its series are called beside their labels.
    fn expressions(&self, entries: &[&Entry], by: &[&str]) -> anyhow::Result<Vec<(String, Option<String>)>> {
        let by = by.join(", ");
        let select = |name: &str| format!("{name}{{application_id=~\"$application\"{}}}", self.only);
        let window = |name: &str, window: &str| format!("{}[{window}]", select(name));
        let mut all = Vec::new();
        for entry in entries {
            let name = entry.name;
            self.check(entry)?;
            let named = (entries.len() > 1).then(|| short(name).to_owned());
            let expression = match self.show {
                Show::Sum | Show::Total => format!("sum by ({by}) ({})", select(name)),
                Show::Max => format!("max by ({by}) ({})", select(name)),
                Show::Smallest => format!("min by ({by}) ({})", select(name)),
                Show::Rate => format!("sum by ({by}) (rate({}))", window(name, WINDOW)),
                Show::Missed => {
                    let of = |only: &str| {
                        let name = format!("{name}{{application_id=~\"$application\"{only}{}}}", self.only);
                        format!("sum by ({by}) (rate({name}[{WINDOW}]))")
                    };
                    // Where nothing is looked for, nothing is missed.
                    format!("{} / clamp_min({}, 1e-9)", of(", result=\"miss\""), of(""))
                }
                Show::Recent => format!("sum by ({by}) (increase({}))", window(name, "10m")),
                Show::Share => format!("sum by ({by}) (rate({}))", window(&format!("{name}_sum"), WINDOW)),
                Show::Age => format!("time() - min by ({by}) ({})", select(name)),
                Show::Skew => format!("max by ({by}) ({0} - timestamp({0}))", select(name)),
                Show::Slope => format!("sum by ({by}) (deriv({}))", window(name, "1m")),
                Show::Spread => format!("sum by (le) (rate({}))", window(&format!("{name}_bucket"), WINDOW)),
                Show::Quantiles => {
                    for (quantile, label) in [("0.5", "p50"), ("0.99", "p99")] {
                        let le = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
                        let buckets = window(&format!("{name}_bucket"), WINDOW);
                        let expression = format!("histogram_quantile({quantile}, sum by ({le}) (rate({buckets})))");
                        let named = named.as_ref().map_or_else(|| label.to_owned(), |named| format!("{named} {label}"));
                        all.push((expression, Some(named)));
                    }
                    continue;
                }
                Show::Less | Show::Part => {
                    let [first, second] = entries else { bail!("{} wants two metrics", self.title) };
                    let sign = if self.show == Show::Less { "-" } else { "/" };
                    let side = |entry: &Entry| format!("sum by ({by}) ({})", select(entry.name));
                    return Ok(vec![(format!("{} {sign} {}", side(first), side(second)), None)]);
                }
            };
            all.push((expression, named));
        }
        Ok(all)
    }

    /// A rate of a gauge, or a counter's bare value, is a mistake.
    fn check(&self, entry: &Entry) -> anyhow::Result<()> {
        let wanted = match self.show {
            Show::Rate | Show::Recent | Show::Total | Show::Missed => Kind::Counter,
            Show::Quantiles | Show::Spread | Show::Share => Kind::Histogram,
            _ => Kind::Gauge,
        };
        if entry.kind != wanted {
            bail!(
                "{}: {} is a {}, and shown as if it were a {}",
                self.title,
                entry.name,
                entry.kind.as_str(),
                wanted.as_str()
            );
        }
        Ok(())
    }

    fn field(&self, entry: &Entry) -> Value {
        let unit = match (self.show, entry.unit) {
            (Show::Part | Show::Share | Show::Missed, _) | (Show::Rate, Unit::Seconds) => "percentunit",
            (Show::Rate, Unit::Bytes) | (Show::Max, Unit::BytesPerSecond) => "Bps",
            (Show::Slope | Show::Rate, _) => "cps",
            (Show::Age | Show::Skew, _) | (_, Unit::Seconds) => "s",
            (_, Unit::Bytes) => "bytes",
            _ => "short",
        };
        if self.show == Show::Smallest {
            let steps = json!([{ "color": "red", "value": null }, { "color": "green", "value": 1 }]);
            return json!({ "unit": unit, "min": 0, "thresholds": { "mode": "absolute", "steps": steps } });
        }
        json!({ "unit": unit })
    }

    fn options(&self) -> Value {
        match self.show {
            Show::Smallest => json!({
                "reduceOptions": { "calcs": ["lastNotNull"] },
                "textMode": "value_and_name",
                "colorMode": "background",
            }),
            Show::Spread => json!({ "calculate": false, "yAxis": { "unit": "s" }, "color": { "scheme": "Oranges" } }),
            _ => json!({
                "legend": { "displayMode": "list", "placement": "bottom" },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
        }
    }
}

/// A name without what all of a panel's names have.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("millpond_").unwrap_or(name);
    name.strip_suffix("_total").or_else(|| name.strip_suffix("_seconds")).unwrap_or(name)
}

/// Grafana's name of a panel's query.
fn letter(number: usize) -> String {
    u8::try_from(number)
        .ok()
        .and_then(|number| b'A'.checked_add(number))
        .map_or_else(String::new, |letter| char::from(letter).to_string())
}

pub(super) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "millpond-prometheus" })
}
