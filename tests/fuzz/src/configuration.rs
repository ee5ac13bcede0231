//! Configuration: a file, a variable and a flag out of one input. Whatever is wrong is an error, and no error shows a secret.

use loader::Routes;
use millpond::runtime::config::{File, Flag, Sources, StreamsConfig};

pub(crate) fn file(bytes: &[u8]) {
    let (file, rest) = super::split(bytes);
    let (key, value) = super::split(rest);
    let [file, key, value] = [file, key, value].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let sources = Sources {
        defaults: vec![("application.id".into(), "shop".into()), ("bootstrap.servers".into(), "b:1".into())],
        file: Some(File { name: "app.toml".into(), text: file }),
        environment: vec![("HOME".into(), "/h".into()), (format!("MILLPOND_{}", key.to_uppercase()), value.clone())],
        flags: vec![Flag { flag: "--set".into(), key, value }],
    };
    match StreamsConfig::load(&sources) {
        Ok(config) => {
            assert!(!config.settings().is_empty());
            let _ = config.app.get::<serde_json::Value>();
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}

pub(crate) fn routes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Routes::from_toml(text) {
        Ok(routes) => assert!(routes.iter().count() > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
