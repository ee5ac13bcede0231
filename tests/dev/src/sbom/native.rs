//! What crates compile or link that cargo knows nothing of: libraries in C and C++.

use std::process::Command;

use anyhow::bail;
use serde_json::{Value, json};

/// How the version of a library is told.
enum Told {
    /// Behind the `+` of its crate's version, after this text.
    Crate(&'static str),
    /// It is the crate's own.
    Own,
    /// By `pkg-config`: it is the system's, and shared or linked as it is there.
    System(&'static str),
}

struct Known {
    of: &'static str,
    name: &'static str,
    licence: &'static str,
    told: Told,
}

/// By crate. A crate that links something and is not here is refused, see [`native_of`].
const KNOWN: &[Known] = &[
    Known { of: "rdkafka-sys", name: "librdkafka", licence: "BSD-2-Clause", told: Told::Crate("") },
    Known { of: "librocksdb-sys", name: "rocksdb", licence: "Apache-2.0 OR GPL-2.0-only", told: Told::Crate("") },
    Known { of: "lz4-sys", name: "lz4", licence: "BSD-2-Clause", told: Told::Crate("lz4-") },
    Known { of: "zstd-sys", name: "zstd", licence: "BSD-3-Clause OR GPL-2.0-only", told: Told::Crate("zstd.") },
    Known { of: "bzip2-sys", name: "bzip2", licence: "bzip2-1.0.6", told: Told::Crate("") },
    Known { of: "libz-sys", name: "zlib", licence: "Zlib", told: Told::System("zlib") },
    Known { of: "openssl-sys", name: "openssl", licence: "Apache-2.0", told: Told::System("openssl") },
    Known { of: "tikv-jemalloc-sys", name: "jemalloc", licence: "BSD-2-Clause", told: Told::Crate("") },
    // Parts of BoringSSL, in C and assembler, that only live in this crate.
    Known { of: "ring", name: "ring-core", licence: "Apache-2.0 AND ISC", told: Told::Own },
];

/// Crates whose `links` keeps two versions of them apart, and stands for nothing else.
const RUST_ALONE: &[&str] = &["rayon-core"];

/// A library that is not written in Rust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) name: &'static str,
    pub(super) version: Option<String>,
    licence: &'static str,
    of: String,
}

impl Native {
    pub(super) fn reference(&self) -> String {
        let version = self.version.as_ref().map_or_else(String::new, |version| format!("@{version}"));
        format!("pkg:generic/{}{version}", self.name)
    }

    pub(super) fn component(&self) -> Value {
        let mut component = json!({
            "type": "library", "bom-ref": self.reference(), "name": self.name, "purl": self.reference(),
            "scope": "required", "licenses": [{ "expression": self.licence }],
            "properties": [{ "name": "millpond:crate", "value": self.of }],
        });
        if let (Value::Object(fields), Some(version)) = (&mut component, &self.version) {
            fields.insert("version".into(), json!(version));
        }
        component
    }
}

/// What a crate brings along.
///
/// # Errors
/// A crate that links something which this table does not know: add it.
pub(super) fn native_of(name: &str, version: &str, links: &str) -> anyhow::Result<Option<Native>> {
    let Some(known) = KNOWN.iter().find(|known| known.of == name) else {
        if links.is_empty() || RUST_ALONE.contains(&name) {
            return Ok(None);
        }
        bail!(
            "crate {name} links {links}, which the bill does not know: add it to KNOWN or to RUST_ALONE in sbom/native.rs"
        );
    };
    let told = match known.told {
        Told::Own => Some(version.to_owned()),
        Told::System(package) => of_system(package),
        Told::Crate(prefix) => {
            let Some((_, told)) = version.split_once('+') else {
                bail!("crate {name} {version} does not tell of {}", known.name)
            };
            let told = told.strip_prefix(prefix).unwrap_or(told);
            // jemalloc tells a commit as well.
            Some(told.split('-').next().unwrap_or(told).to_owned())
        }
    };
    Ok(Some(Native { name: known.name, version: told, licence: known.licence, of: name.to_owned() }))
}

/// The version that is installed here; `None` where nobody can tell.
fn of_system(package: &str) -> Option<String> {
    let output = Command::new("pkg-config").args(["--modversion", package]).output().ok()?;
    let told = String::from_utf8(output.stdout).ok()?;
    Some(told.trim().to_owned()).filter(|told| output.status.success() && !told.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_what_the_crates_say() {
        let version = |name, version| native_of(name, version, "x").unwrap().unwrap().version.unwrap();
        assert_eq!(version("rdkafka-sys", "4.10.0+2.12.1"), "2.12.1");
        assert_eq!(version("lz4-sys", "1.11.1+lz4-1.10.0"), "1.10.0");
        assert_eq!(version("zstd-sys", "2.1.3+zstd.1.5.7"), "1.5.7");
        assert_eq!(version("tikv-jemalloc-sys", "0.7.1+5.3.1-0-g81034ce1"), "5.3.1");
    }

    #[test]
    fn a_crate_that_links_something_unknown_is_refused() {
        assert_eq!(native_of("serde", "1.0.0", "").unwrap(), None);
        let error = native_of("new-sys", "1.0.0", "new").unwrap_err().to_string();
        assert!(error.contains("new-sys links new"), "{error}");
        assert!(native_of("rdkafka-sys", "4.10.0", "rdkafka").is_err());
    }
}
