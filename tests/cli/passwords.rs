//! A loader whose password stands in a file, as for `psql`: neither in the URL nor in the environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use millpond_harness::Postgres;

use super::loading::{Loading, URL};
use super::*;

/// A server that wants a password of `loader`, and the database `shop` of that user.
fn server(dir: &Path) -> Postgres {
    let postgres = Postgres::start(dir).unwrap();
    for sql in ["CREATE ROLE loader LOGIN PASSWORD 'of:the file'", "CREATE DATABASE shop OWNER loader"] {
        postgres.query("postgres", sql).unwrap();
    }
    let rules = "host all loader 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
    fs::write(dir.join("data/pg_hba.conf"), rules).unwrap();
    postgres.query("postgres", "SELECT pg_reload_conf()").unwrap();
    let stranger = postgres.database_url("shop").replace("postgres@", "loader:none@");
    // The server reads its rules in a moment of its own.
    wait_for(LIMIT, "it asks for a password", || postgres.query(&stranger, "SELECT 1").is_err()).unwrap();
    postgres
}

/// The file is read for each connection, so that a password can be changed while the loader runs.
#[test]
fn a_loader_logs_in_with_the_password_of_its_file_as_it_stands_there_then() {
    let scratch = Scratch::new("cli-pgpass").unwrap();
    let postgres = server(&scratch.path().join("postgres"));
    let database = postgres.database_url("shop");
    let passwords = scratch.path().join("pgpass");
    let write = |password: &str, mode: u32| {
        let lines = format!("# of a test\n127.0.0.1:1:shop:loader:wrong\n127.0.0.1:*:shop:loader:{password}\n");
        fs::write(&passwords, lines).unwrap();
        fs::set_permissions(&passwords, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("of\\:the file", 0o600);
    let without = database.replace("postgres@", "loader@");
    let variables = vec![(URL, without), ("PGPASSFILE", passwords.display().to_string())];
    let shop = Loading::on("cli-password-file", database, variables);
    let doctor = ["doctor", "--no-probe", "--json"];
    let healthy = shop.ask(&doctor);
    assert!(healthy.code == 0 && healthy.out.contains("its tables are made by the first start"), "{healthy:?}");
    shop.feed();
    let mut process = shop.start();
    shop.wait_for_rows(&mut process, ["20", "4"]);

    write("another", 0o600);
    for sql in [
        "ALTER ROLE loader PASSWORD 'another'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loader'",
    ] {
        shop.query(sql);
    }
    shop.feed();
    shop.wait_for_rows(&mut process, ["40", "4"]);
    assert!(process.stop().unwrap().success(), "{}", process.log_tail());
    assert!(!process.log().contains("of:the file"), "{}", process.log_tail());

    // One that others may read is passed over by the library in silence; the loader is not silent.
    write("another", 0o644);
    let open = shop.ask(&doctor);
    assert!(open.code == 1 && open.out.contains("PGPASSFILE") && open.out.contains("chmod 600"), "{open:?}");
    write("of\\:the file", 0o600);
    let old = shop.ask(&doctor);
    assert!(old.code == 1 && old.out.contains("28P01") && old.out.contains("of the password file"), "{old:?}");
    assert!(!format!("{old:?}").contains("of:the file"), "{old:?}");
}
