//! A board: rows of panels, a variable for the application, and alerts as marks on every graph.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::catalog::Catalog;
use super::panel::datasource;
use super::rows::{ROWS, Row};

/// Whose board it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// All applications beside each other.
    Fleet,
    Redaction,
    Fraud,
    Attribution,
    Loader,
}

impl Scope {
    pub(super) const ALL: [Self; 5] = [Self::Fleet, Self::Redaction, Self::Fraud, Self::Attribution, Self::Loader];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Redaction => "redaction",
            Self::Fraud => "fraud",
            Self::Attribution => "attribution",
            Self::Loader => "loader",
        }
    }

    pub(super) fn is_application(self) -> bool {
        self != Self::Fleet
    }

    /// A metric that only processes of this application have: it tells who they are.
    const fn mark(self) -> &'static str {
        match self {
            Self::Fleet => "millpond_ready",
            Self::Redaction => "millpond_redactions_total",
            Self::Fraud => "millpond_fraud_alerts_total",
            Self::Attribution => "millpond_attributions_total",
            Self::Loader => "millpond_loader_connections",
        }
    }
}

const WIDTH: usize = 24;
/// Panels beside each other.
const COLUMNS: usize = 4;
const HEIGHT: usize = 7;

/// The board of that scope.
pub(super) fn board(catalog: &Catalog, scope: Scope) -> anyhow::Result<Value> {
    let mut panels = Vec::new();
    let mut top = 0;
    for row in &ROWS {
        add_row(catalog, scope, row, (&mut panels, &mut top))
            .with_context(|| format!("row {} of the board {}", row.title, scope.name()))?;
    }
    for (panel, id) in panels.iter_mut().zip(1..) {
        if let Some(panel) = panel.as_object_mut() {
            panel.insert("id".to_owned(), json!(id));
        }
    }
    let title = match scope {
        Scope::Fleet => "millpond: all applications".to_owned(),
        _ => format!("millpond: {}", scope.name()),
    };
    Ok(json!({
        "uid": format!("millpond-{}", scope.name()),
        "title": title,
        "tags": ["millpond"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "5s",
        "time": { "from": "now-15m", "to": "now" },
        "timezone": "browser",
        "links": [{ "type": "dashboards", "title": "millpond", "tags": ["millpond"], "asDropdown": true, "includeVars": false, "keepTime": true }],
        "templating": { "list": [variable(scope)] },
        "annotations": { "list": [annotation()] },
        "panels": panels,
    }))
}

fn add_row(
    catalog: &Catalog,
    scope: Scope,
    row: &Row,
    (panels, top): (&mut Vec<Value>, &mut usize),
) -> anyhow::Result<()> {
    let mut here = row.panels.iter().filter(|panel| panel.scopes.contains(&scope)).peekable();
    if here.peek().is_none() {
        return Ok(());
    }
    panels.push(json!({
        "type": "row", "title": row.title, "collapsed": false, "panels": [],
        "gridPos": { "x": 0, "y": *top, "w": WIDTH, "h": 1 },
    }));
    *top += 1;
    let mut count = 0;
    for panel in here {
        let mut made = panel.json(catalog, scope)?;
        let (column, line) = (count % COLUMNS, count / COLUMNS);
        let width = WIDTH / COLUMNS;
        if let Some(made) = made.as_object_mut() {
            let at = json!({ "x": column * width, "y": *top + line * HEIGHT, "w": width, "h": HEIGHT });
            made.insert("gridPos".to_owned(), at);
        }
        panels.push(made);
        count += 1;
    }
    *top += count.div_ceil(COLUMNS) * HEIGHT;
    Ok(())
}

fn variable(scope: Scope) -> Value {
    let query = format!("label_values({}, application_id)", scope.mark());
    json!({
        "name": "application",
        "label": "Application",
        "type": "query",
        "datasource": datasource(),
        "query": { "query": query, "refId": "A" },
        "definition": query,
        "refresh": 2,
        "multi": true,
        "includeAll": true,
        // Only those that the board is about, where it is about some.
        "allValue": if scope.is_application() { Value::Null } else { json!(".*") },
        "current": { "text": "All", "value": "$__all" },
        "sort": 1,
    })
}

fn annotation() -> Value {
    json!({
        "name": "Alerts",
        "enable": true,
        "iconColor": "red",
        "datasource": datasource(),
        "expr": "ALERTS{alertstate=\"firing\", application_id=~\"$application\"}",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}}",
        "step": "15s",
    })
}
