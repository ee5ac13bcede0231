//! Where `./dev setup` put things. The cargo configuration that it writes sets the variables; the other places serve a
//! binary that is started by hand.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// The directory of Kafka's jars.
pub(crate) fn kafka_lib() -> Result<PathBuf, Error> {
    let missing = Error::NotInstalled { what: "Kafka's jars", variable: "MILLPOND_KAFKA_LIB" };
    from_variable("MILLPOND_KAFKA_LIB")
        .or_else(|| newest(&cache()?, |name| name.starts_with("kafka-")))
        .filter(|dir| dir.is_dir())
        .ok_or(missing)
}

/// The `java` program.
pub(crate) fn java() -> Result<PathBuf, Error> {
    let missing = Error::NotInstalled { what: "Java 17", variable: "MILLPOND_JAVA" };
    from_variable("MILLPOND_JAVA")
        .or_else(|| from_variable("JAVA_HOME").map(|home| home.join("bin/java")))
        .or_else(|| on_path("java"))
        .ok_or(missing)
}

/// A program of PostgreSQL's server package.
pub(crate) fn postgres(program: &str) -> Result<PathBuf, Error> {
    let missing = Error::NotInstalled { what: "PostgreSQL", variable: "MILLPOND_POSTGRES_BIN" };
    from_variable("MILLPOND_POSTGRES_BIN")
        .or_else(|| newest(Path::new("/usr/lib/postgresql"), |_| true).map(|version| version.join("bin")))
        .map(|bin| bin.join(program))
        .filter(|path| path.is_file())
        .or_else(|| on_path(program))
        .ok_or(missing)
}

/// The `prometheus` program.
pub(crate) fn prometheus() -> Result<PathBuf, Error> {
    let missing =
        Error::NotInstalled { what: "Prometheus (Debian's package prometheus)", variable: "MILLPOND_PROMETHEUS" };
    from_variable("MILLPOND_PROMETHEUS").or_else(|| on_path("prometheus")).filter(|path| path.is_file()).ok_or(missing)
}

/// A Chromium, under any of its names.
pub(crate) fn chromium() -> Result<PathBuf, Error> {
    let missing = Error::NotInstalled { what: "Chromium (Debian's package chromium)", variable: "MILLPOND_CHROMIUM" };
    from_variable("MILLPOND_CHROMIUM")
        .or_else(|| ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path))
        .filter(|path| path.is_file())
        .ok_or(missing)
}

/// The script of axe-core, which looks for what keeps people from using a page.
///
/// # Errors
/// [`Error::NotInstalled`] when it is nowhere.
pub fn axe() -> Result<PathBuf, Error> {
    let missing = Error::NotInstalled { what: "axe-core", variable: "MILLPOND_AXE" };
    from_variable("MILLPOND_AXE")
        .or_else(|| newest(&cache()?, |name| name.starts_with("axe-core-")).map(|dir| dir.join("axe.min.js")))
        .filter(|path| path.is_file())
        .ok_or(missing)
}

/// The `promtool` program, which comes with Prometheus.
pub(crate) fn promtool() -> Result<PathBuf, Error> {
    let beside = prometheus()?.with_file_name("promtool");
    let missing =
        Error::NotInstalled { what: "promtool (Debian's package prometheus)", variable: "MILLPOND_PROMETHEUS" };
    Some(beside).filter(|path| path.is_file()).or_else(|| on_path("promtool")).ok_or(missing)
}

/// The path of a program that the shell would find.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn from_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn cache() -> Option<PathBuf> {
    from_variable("MILLPOND_CACHE")
        .or_else(|| Some(from_variable("XDG_CACHE_HOME")?.join("millpond")))
        .or_else(|| Some(from_variable("HOME")?.join(".cache/millpond")))
}

fn newest(dir: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let names = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    names.filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(&wanted)).max_by_key(|path| version(path))
}

/// The numbers in a directory's name, so that 15 comes after 9.
fn version(path: &Path) -> Vec<u64> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}
