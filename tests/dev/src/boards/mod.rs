//! `./dev boards`: Grafana's boards, the reference of all metrics and that of the configuration, written from the tables in the
//! code. What is committed is what this writes: a test compares.

mod board;
mod catalog;
mod keys;
mod panel;
mod reference;
mod rows;

use std::fs;

use anyhow::Context as _;

use board::Scope;
use catalog::Catalog;

/// Everything that is written, by its path from the top of the repository.
fn files() -> anyhow::Result<Vec<(String, String)>> {
    let catalog = Catalog::new();
    let mut files = vec![
        ("grafana/METRICS.md".to_owned(), reference::page(&catalog)),
        ("framework/CONFIGURATION.md".to_owned(), keys::page()),
    ];
    for scope in Scope::ALL {
        let board = board::board(&catalog, scope)?;
        let text = serde_json::to_string_pretty(&board)?;
        files.push((format!("grafana/dashboards/{}.json", scope.name()), format!("{text}\n")));
    }
    Ok(files)
}

/// Writes them, from the top of the repository.
pub(crate) fn write() -> anyhow::Result<()> {
    for (path, text) in files()? {
        fs::write(&path, text).with_context(|| format!("write {path}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use millpond::metrics::Level;

    use super::catalog::Entry;
    use super::panel::{Panel, Show};
    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    #[test]
    fn what_is_committed_is_what_is_written_from_the_table() {
        for (path, text) in files().unwrap() {
            let committed = fs::read_to_string(Path::new(ROOT).join(&path)).unwrap_or_default();
            assert!(committed == text, "{path} is not current: run ./dev boards");
        }
    }

    #[test]
    fn there_is_no_board_that_is_not_written() {
        let written: BTreeSet<String> = files().unwrap().into_iter().map(|(path, _)| path).collect();
        for file in fs::read_dir(Path::new(ROOT).join("grafana/dashboards")).unwrap() {
            let path = format!("grafana/dashboards/{}", file.unwrap().file_name().to_str().unwrap());
            assert!(written.contains(&path), "{path}");
        }
    }

    /// What only applications with stores have.
    fn is_of_stores(entry: &Entry) -> bool {
        entry.level == Level::Store || entry.name.contains("rocksdb") || entry.name.contains("millpond_quer")
    }

    /// The loader has a loop of its own: no stores, no producer per thread, no phases of a commit.
    fn is_of_the_loader(entry: &Entry) -> bool {
        entry.application == Some("loader")
            || matches!(entry.level, Level::Partition | Level::Client)
            || [
                "millpond_ready",
                "millpond_live",
                "millpond_commits_total",
                "millpond_dead_letters_total",
                "millpond_http_refused_total",
            ]
            .contains(&entry.name)
            || entry.name.starts_with("process_")
    }

    #[test]
    fn every_metric_is_on_the_board_of_every_application_that_has_it() {
        let catalog = Catalog::new();
        let files = files().unwrap();
        for scope in Scope::ALL {
            let path = format!("grafana/dashboards/{}.json", scope.name());
            let (_, text) = files.iter().find(|(have, _)| *have == path).unwrap();
            for entry in catalog.iter() {
                let has = match scope {
                    Scope::Fleet => entry.application.is_none(),
                    Scope::Fraud | Scope::Attribution => entry.application.is_none_or(|own| own == scope.name()),
                    Scope::Redaction => entry.application.is_none_or(|own| own == scope.name()) && !is_of_stores(entry),
                    Scope::Loader => is_of_the_loader(entry),
                };
                assert!(!has || text.contains(entry.name), "{} is not on the board {}", entry.name, scope.name());
            }
        }
    }

    #[test]
    fn a_panel_of_a_metric_that_does_not_exist_is_not_written() {
        let catalog = Catalog::new();
        let panel = |show, metric: &'static [&'static str], by: &'static [&'static str]| {
            let panel = Panel { title: "t", show, metrics: metric, by, only: "", scopes: &[Scope::Fleet] };
            panel.json(&catalog, Scope::Fleet).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(panel(Show::Sum, &["millpond_ready"], &["instance"]), Ok(()));
        assert_eq!(panel(Show::Sum, &["millpond_readdy"], &[]), Err("there is no metric millpond_readdy".to_owned()));
        assert_eq!(
            panel(Show::Sum, &["millpond_ready"], &["user"]),
            Err("millpond_ready has no label user".to_owned())
        );
        assert!(panel(Show::Rate, &["millpond_ready"], &[]).unwrap_err().contains("as if it were a counter"));
    }
}
