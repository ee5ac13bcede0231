//! `reset`: refused while the group is alive, shown before it is done, and checked by the application itself afterwards.

use std::path::Path;

use super::loading::Loading;
use super::*;

/// Everything that is true of the application but for its state directory.
fn as_it_is(shop: &Shop) -> (Vec<Option<i64>>, Vec<String>) {
    (shop.committed(), shop.internal_topics())
}

fn sorted(alerts: &[Received]) -> Vec<(String, String)> {
    let mut alerts: Vec<_> = alerts.iter().map(|alert| (alert.key_text(), alert.text())).collect();
    alerts.sort();
    alerts
}

/// The databases below a directory.
fn databases(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.join("CURRENT").is_file() {
            found.push(path);
        } else if path.is_dir() {
            found.extend(databases(&path));
        }
    }
    found
}

#[test]
fn a_reset_application_begins_anew_with_the_same_results() {
    let shop = Shop::new("cli-anew");
    shop.bursts(0..20);
    let mut process = shop.start();
    let first = shop.alerts(&mut process, 20);
    wait_for(LIMIT, "commits", || shop.committed() == [Some(50), Some(50)]).unwrap();

    let live = as_it_is(&shop);
    assert_eq!(
        live.1,
        ["cli-anew-by-user-repartition", "cli-anew-carts-changelog", "cli-anew-commits", "cli-anew-wake-ups-changelog"]
    );
    for line in [&["reset", "--json"][..], &["reset", "--yes", "--json"]] {
        assert_eq!(shop.fraud(line).error(), "group-is-live");
    }
    assert_eq!(as_it_is(&shop), live, "a refusal changes nothing");
    assert!(process.stop().unwrap().success());

    let planned = shop.fraud(&["reset"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.out.contains("delete topic cli-anew-carts-changelog\n"), "{planned:?}");
    assert!(planned.out.contains("begin cli-anew-events-0 at 0 instead of 50\n"), "{planned:?}");
    assert!(planned.out.ends_with("nothing was changed; say --yes to do this\n"), "{planned:?}");
    assert_eq!(as_it_is(&shop), live, "a plan changes nothing");

    let done = shop.fraud(&["reset", "--yes", "--json"]).json();
    assert_eq!((&done["done"], done["deleted_topics"].as_array().unwrap().len()), (&true.into(), 4), "{done}");
    assert_eq!(as_it_is(&shop), (vec![Some(0), Some(0)], Vec::new()));
    assert_eq!(shop.fraud(&["state", "ls", "--json"]).error(), "no-state");
    let aside = databases(&shop.dir.join("state/cli-anew"));
    assert!(aside.len() >= 2, "a database of each partition is set aside, not removed: {aside:?}");
    assert!(aside.iter().all(|path| path.to_string_lossy().contains(".reset-1/")), "{aside:?}");
    let again = shop.fraud(&["reset", "--yes"]);
    assert!(again.code == 0 && again.out.ends_with("done, and checked\n"), "twice is once: {again:?}");

    let mut process = shop.start();
    let all = shop.alerts(&mut process, 40);
    let mut twice = [sorted(&first), sorted(&first)].concat();
    twice.sort();
    assert_eq!(sorted(&all), twice, "each alert came once more, and no other did");
    let verified = shop.fraud(&["state", "verify", "--json"]).json();
    assert_eq!(verified["ok"], true, "{verified}");
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
}

#[test]
fn it_begins_where_it_is_told_to() {
    let shop = Shop::new("cli-to");
    shop.bursts(0..20);
    let mut process = shop.start();
    shop.alerts(&mut process, 20);
    wait_for(LIMIT, "commits", || shop.committed() == [Some(50), Some(50)]).unwrap();
    assert!(process.stop().unwrap().success());

    let offsets = |line: &[&str]| {
        let planned = shop.fraud(&[&["reset", "--json"], line].concat()).json();
        let offsets = planned["offsets"].as_array().unwrap().iter();
        offsets.map(|offset| offset["offset"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&["--to-latest"]), [50, 50]);
    assert_eq!(offsets(&["--to-offset=7"]), [7, 7]);
    assert_eq!(offsets(&["--shift-by=-10"]), [40, 40]);
    assert_eq!(offsets(&["--to-offset=51"]), [50, 50], "the nearest that the log has");
    // Users 0, 2, 4… are in partition 0, five events each, a second apart: user 10 is the first at or after.
    assert_eq!(offsets(&["--to-datetime=2023-11-14T22:13:30.000"]), [25, 25]);
    assert_eq!(offsets(&["--by-duration=P1D"]), [50, 50], "nothing is as young");
    let file = shop.dir.join("places.csv");
    let from_file = format!("--from-file={}", file.display());
    let written = |text: &str| std::fs::write(&file, text).unwrap();
    written("cli-to-events,1,50\ncli-to-events,0,3\n");
    assert_eq!(offsets(&[&from_file]), [3, 50], "as kafka-consumer-groups.sh has exported it");
    for (text, code, said) in [
        ("cli-to-events,0,3\n", "not-all-inputs", "cli-to-events-1"),
        ("cli-to-events,0,3\ncli-to-events,1,3\nothers,0,3\n", "not-all-inputs", "others-0"),
        ("cli-to-events,0,3\ncli-to-events,1,end\n", "usage", "places.csv:2: `end` is no offset"),
    ] {
        written(text);
        let refused = shop.fraud(&["reset", "--json", &from_file]);
        assert!(refused.error() == code && refused.err.contains(said), "{text}: {refused:?}");
    }
    for (line, code) in [
        (&["--to-datetime=yesterday"][..], "usage"),
        (&["--by-duration=long"], "usage"),
        (&["--force"], "usage"),
        (&["--input-topics=others"], "part-of-input"),
        (&["--internal-topics=others"], "not-internal"),
    ] {
        assert_eq!(shop.fraud(&[&["reset", "--json"], line].concat()).error(), code, "{line:?}");
    }
    let both = shop.fraud(&["reset", "--to-earliest", "--to-latest"]);
    assert!(both.code == 2 && both.err.contains("cannot be used with"), "{both:?}");

    // The tool, which knows no topology, comes to the same plan.
    let by_tool = shop.ask("millpond", &["reset", "--to-latest", "--json"]).json();
    assert_eq!(by_tool["steps"], shop.fraud(&["reset", "--to-latest", "--json"]).json()["steps"]);
    let done = shop.ask("millpond", &["reset", "--to-latest", "--yes", "--json"]).json();
    assert_eq!(done["done"], true, "{done}");
    shop.bursts(20..30);
    let mut process = shop.start();
    let all = shop.alerts(&mut process, 30);
    assert_eq!(
        all.iter().filter(|alert| alert.key_text() == "u5").count(),
        1,
        "what came before the reset is not read"
    );
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
}

/// State that another machine has kept is not taken for state of the new beginning.
#[test]
fn state_from_before_the_reset_is_set_aside_wherever_it_was() {
    let shop = Shop::new("cli-elsewhere");
    shop.bursts(0..20);
    let mut process = shop.start();
    shop.alerts(&mut process, 20);
    assert!(process.stop().unwrap().success());
    let (state, elsewhere) = (shop.dir.join("state"), shop.dir.join("elsewhere"));
    std::fs::rename(&state, &elsewhere).unwrap();
    assert_eq!(shop.fraud(&["reset", "--yes", "--json"]).json()["done"], true);
    let _ = std::fs::remove_dir_all(&state);
    std::fs::rename(&elsewhere, &state).unwrap();
    let mut process = shop.start();
    shop.alerts(&mut process, 40);
    assert!(process.log().contains("state set aside"), "{}", process.log_tail());
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    let listed = shop.fraud(&["state", "ls", "--json"]).json();
    assert!(!listed["set_aside"].as_array().unwrap().is_empty(), "{listed}");
}

/// A store whose input is not a repartition topic begins at offsets that the reset has set; offsets that anybody else has set
/// are refused.
#[test]
fn a_store_fed_by_its_input_begins_anew_and_old_state_of_it_is_set_aside() {
    let shop = Shop::of("bench-count", "cli-counts");
    let records = |count: i64| (0..count).map(|n| Outgoing::value("x").key("k").partition(0).at(1_700_000_000_000 + n));
    shop.client.produce(&shop.topic("events"), records(10)).unwrap();
    let last =
        |records: &[Received]| i64::from_be_bytes(records.last().unwrap().value.clone().unwrap().try_into().unwrap());
    let mut process = shop.start();
    assert_eq!(last(&shop.alerts(&mut process, 10)), 10);
    wait_for(LIMIT, "commits", || shop.committed().first() == Some(&Some(10))).unwrap();
    assert!(process.stop().unwrap().success());

    let (state, elsewhere) = (shop.dir.join("state"), shop.dir.join("elsewhere"));
    std::fs::rename(&state, &elsewhere).unwrap();
    assert_eq!(shop.own(&["reset", "--to-datetime=2023-11-14T22:13:20.004", "--yes", "--json"]).json()["done"], true);
    assert_eq!(shop.committed(), [Some(4), Some(0)]);
    let _ = std::fs::remove_dir_all(&state);
    std::fs::rename(&elsewhere, &state).unwrap();
    let mut process = shop.start();
    assert_eq!(last(&shop.alerts(&mut process, 16)), 6, "six records are left, counted from nothing");
    assert!(process.log().contains("the application was reset"), "{}", process.log_tail());
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
}

/// A reset that was cut short leaves nothing that runs: the next one finishes it.
#[test]
fn half_a_reset_does_not_start_and_another_one_finishes_it() {
    let shop = Shop::new("cli-half");
    shop.bursts(0..20);
    let mut process = shop.start();
    shop.alerts(&mut process, 20);
    assert!(process.stop().unwrap().success());
    // As it is after the first steps: state and internal topics are gone, offsets are not.
    std::fs::remove_dir_all(shop.dir.join("state")).unwrap();
    let internal = shop.internal_topics();
    shop.client.delete_topics(&internal.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let mut process = shop.start();
    let ended = process.wait(LIMIT).unwrap();
    assert!(!ended.success() && process.log().contains("reset the application"), "{}", process.log_tail());

    wait_for(LIMIT, "an empty group", || shop.fraud(&["reset", "--yes"]).code == 0).unwrap();
    let mut process = shop.start();
    shop.alerts(&mut process, 40);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
}

#[test]
fn the_loader_is_reset_where_its_offsets_are_and_loads_anew() {
    let shop = Loading::new("cli-loader");
    assert_eq!(shop.reset(&["--json"]).error(), "offsets-unreadable", "no loader has run here");
    shop.feed();
    let mut process = shop.start();
    shop.wait_for_rows(&mut process, ["20", "4"]);
    assert_eq!(shop.offsets(), ["10", "10", "2", "2"]);
    for line in [&["--json"][..], &["--yes", "--json"]] {
        assert_eq!(shop.reset(line).error(), "group-is-live");
    }
    assert_eq!(shop.offsets(), ["10", "10", "2", "2"], "a refusal changes nothing");
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    // It stays a member until its session ends.
    wait_for(LIMIT, "an empty group", || shop.reset(&[]).code == 0).unwrap();

    let planned = shop.reset(&[]);
    for line in [
        "begin cli-loader-processed-1 at 0 instead of 10\n",
        "begin cli-loader-attributed-0 at 0 instead of 2\n",
        "note: the offsets of sink_offset in PostgreSQL move, and the group's after them\n",
        "nothing was changed; say --yes to do this\n",
    ] {
        assert!(planned.out.contains(line), "{planned:?}");
    }
    for (line, code) in [
        (&["--input-topics=others"][..], "not-an-input"),
        (&["--internal-topics=others"], "not-internal"),
        (&["--to-datetime=yesterday"], "usage"),
    ] {
        assert_eq!(shop.reset(&[&["--json"], line].concat()).error(), code, "{line:?}");
    }
    let of_one = ["--input-topics=cli-loader-processed", "--shift-by=-3", "--json"];
    let offsets = shop.reset(&of_one).json()["offsets"].clone();
    let file = shop.dir.join("places.csv");
    std::fs::write(&file, "cli-loader-attributed,0,1\ncli-loader-attributed,1,2\n").unwrap();
    let from_file = format!("--from-file={}", file.display());
    assert_eq!(shop.reset(&[&from_file, "--json"]).error(), "not-all-inputs", "the other topic would be left out");
    let placed = shop.reset(&["--input-topics=cli-loader-attributed", &from_file, "--json"]).json();
    let placed: Vec<_> = placed["offsets"].as_array().unwrap().iter().map(|of| of["offset"].clone()).collect();
    assert_eq!(placed, [1, 2], "each topic stands for itself");
    assert_eq!((offsets.as_array().unwrap().len(), &offsets[0]["offset"]), (2, &7.into()), "{offsets}");
    assert_eq!(shop.offsets(), ["10", "10", "2", "2"], "a plan changes nothing");

    let done = shop.reset(&["--yes", "--json"]).json();
    assert_eq!((&done["done"], done["offsets"].as_array().unwrap().len()), (&true.into(), 4), "{done}");
    assert_eq!(shop.offsets(), ["0", "0", "0", "0"]);
    let lags = shop.client.group(shop.name).unwrap().lag(&[&shop.topic("processed")]).unwrap();
    assert!(lags.iter().all(|lag| lag.committed == Some(0)), "the group shows the same");
    assert_eq!(shop.rows(), ["20", "4"], "rows stay");
    let again = shop.reset(&["--yes"]);
    assert!(again.code == 0 && again.out.ends_with("done, and checked\n"), "twice is once: {again:?}");

    shop.query("TRUNCATE events");
    let mut process = shop.start();
    shop.wait_for_rows(&mut process, ["20", "4"]);
    wait_for(LIMIT, "all of it", || shop.offsets() == ["10", "10", "2", "2"]).unwrap();
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
}

/// The tool knows neither the loader's topics nor its database: it must not look as if it had reset it.
#[test]
fn the_tool_refuses_a_group_that_no_topology_has_committed_for() {
    let shop = Loading::new("cli-sink");
    shop.feed();
    let mut process = shop.start();
    shop.wait_for_rows(&mut process, ["20", "4"]);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    assert_eq!(shop.tool(&["reset", "--json"]).error(), "not-a-topology");
}
