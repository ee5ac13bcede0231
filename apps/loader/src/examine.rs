//! PostgreSQL as `doctor` tells about it.

use std::collections::BTreeSet;

use millpond::runtime::config::StreamsConfig;
use millpond_support::Finding;

use crate::postgres::{Examined, TableState};
use crate::route::RouteKind;
use crate::settings::Settings;

/// What a loader does to the table of a route; the arbiter of `ON CONFLICT` is read.
const fn rights(kind: &RouteKind) -> &'static [&'static str] {
    match kind {
        RouteKind::Append => &["INSERT", "SELECT"],
        RouteKind::Upsert { .. } => &["INSERT", "SELECT", "UPDATE"],
    }
}

/// What it does to the table of offsets.
const OFFSETS: &[&str] = &["SELECT", "INSERT", "UPDATE"];

/// The oldest version of PostgreSQL that the tests run on.
const VERSION_MIN: u32 = 15;

/// Looks at the database that the configuration names; changes nothing.
pub fn examine(config: &StreamsConfig) -> Vec<Finding> {
    const CODE: &str = "postgresql";
    let fix = "see app.database_url, the server, and its log";
    let settings = config.app.get::<Settings>().map_err(|error| error.to_string());
    let loader = settings.and_then(|settings| settings.loader(config, "doctor", 0).map_err(|error| error.to_string()));
    let loader = match loader {
        Ok(loader) => loader,
        Err(error) => return vec![Finding::broken("configuration", error, "correct what is shown")],
    };
    let tables = loader.routes.iter().map(|route| (route.table().to_string(), rights(route.kind())));
    let tables: BTreeSet<(String, &'static [&'static str])> = tables.collect();
    let mut wanted: Vec<(String, &'static [&'static str])> = tables.into_iter().collect();
    wanted.push(("sink_offset".to_owned(), OFFSETS));
    let examined = loader.database().and_then(|mut database| database.examine(&wanted));
    match examined {
        Ok(examined) => judge(&examined),
        Err(error) => vec![Finding::broken(CODE, error.to_string(), fix)],
    }
}

fn judge(examined: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    if examined.read_only {
        let fix = "name the primary in app.database_url";
        findings.push(Finding::broken("postgresql-read-only", "PostgreSQL takes no writes here", fix));
    }
    if let Some(version) = examined.unknown.first() {
        let what = format!("the database has migration {version}, which this program does not know");
        findings.push(Finding::broken("postgresql-migrations", what, "run a program that is as new"));
    }
    if !examined.pending.is_empty() && !examined.may_create {
        let what = format!("migrations {:?} are not applied, and this user may not create tables", examined.pending);
        let fix = "GRANT CREATE ON SCHEMA to this user for the first start, or let another user apply migrations/";
        findings.push(Finding::broken("postgresql-migrations", what, fix));
    }
    // `15.4 (Debian 15.4-1)`, `17beta1`.
    let digits = examined.version.split(|c: char| !c.is_ascii_digit()).next();
    if digits.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|major| major < VERSION_MIN) {
        let what = format!("PostgreSQL {} is older than what the loader is tested on", examined.version);
        findings.push(Finding::warning("postgresql-version", what, "use PostgreSQL 15 or later"));
    }
    let unmade = !examined.pending.is_empty();
    findings.extend(examined.tables.iter().filter_map(|table| judge_table(table, unmade)));
    if findings.is_empty() {
        let more = if unmade { "; its tables are made by the first start" } else { "" };
        findings.push(Finding::fine("postgresql", format!("PostgreSQL {} answers{more}", examined.version)));
    }
    findings
}

fn judge_table(table: &TableState, unmade: bool) -> Option<Finding> {
    let name = &table.name;
    if !table.exists {
        let fix = "create it with the columns of its route, or correct the route";
        return (!unmade).then(|| Finding::broken("postgresql-table", format!("there is no table {name}"), fix));
    }
    let missing = Some(table.missing.join(", ")).filter(|missing| !missing.is_empty())?;
    let what = format!("this user lacks {missing} on table {name}");
    Some(Finding::broken("postgresql-rights", what, format!("GRANT {missing} ON {name} to this user")))
}

#[cfg(test)]
mod tests {
    use millpond_support::Health;

    use super::*;

    fn healthy() -> Examined {
        let table = |name: &str| TableState { name: name.to_owned(), exists: true, missing: Vec::new() };
        Examined {
            version: "15.4".to_owned(),
            read_only: false,
            pending: Vec::new(),
            unknown: Vec::new(),
            may_create: false,
            tables: vec![table("events"), table("sink_offset")],
        }
    }

    fn codes(examined: &Examined) -> Vec<&'static str> {
        let findings = judge(examined);
        findings.iter().filter(|finding| finding.health != Health::Fine).map(|finding| finding.code).collect()
    }

    #[test]
    fn what_keeps_a_loader_from_writing_is_named() {
        assert_eq!(codes(&healthy()), [""; 0]);
        assert_eq!(codes(&Examined { read_only: true, ..healthy() }), ["postgresql-read-only"]);
        assert_eq!(codes(&Examined { unknown: vec![9], ..healthy() }), ["postgresql-migrations"]);
        assert_eq!(codes(&Examined { pending: vec![3], ..healthy() }), ["postgresql-migrations"]);
        let mut gone = healthy();
        gone.tables[0].exists = false;
        assert_eq!(codes(&gone), ["postgresql-table"]);
        let first = Examined { pending: vec![1, 2, 3], may_create: true, ..gone };
        assert_eq!(codes(&first), [""; 0], "the first start makes it");
        for (version, told) in
            [("14.19", &["postgresql-version"][..]), ("9.6", &["postgresql-version"]), ("17beta1", &[])]
        {
            assert_eq!(codes(&Examined { version: version.to_owned(), ..healthy() }), told, "{version}");
        }
        let mut poor = healthy();
        poor.tables[1].missing = vec!["UPDATE"];
        assert_eq!(codes(&poor), ["postgresql-rights"]);
    }
}
