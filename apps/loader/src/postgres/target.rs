//! Where to connect, and with what: read anew for each connection.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use millpond::aws::{CredentialSource, RdsToken};
use millpond::runtime::config::Secret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::Error;

/// Parameters of a URL that mean something. An unknown one is a slip of the hand, and its value may be a secret.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Parameters that name a file.
const FILES: &[&str] = &["ssl-ca", "ssl-cert", "ssl-key", "ssl-root-cert", "sslcert", "sslkey", "sslrootcert"];

/// Where passwords come from that do not last: asked before each connection.
pub trait PasswordSource: fmt::Debug + Send + Sync {
    /// A password that is good now.
    ///
    /// # Errors
    /// [`Error`], in words that hold no secret.
    fn password(&self) -> Result<Secret, Error>;
}

impl PasswordSource for RdsToken {
    fn password(&self) -> Result<Secret, Error> {
        Ok(self.make()?)
    }
}

/// The tokens of RDS for the server and user of a URL.
///
/// # Errors
/// [`Error::BadUrl`].
pub fn rds_tokens(url: &str, region: &str, credentials: Arc<dyn CredentialSource>) -> Result<RdsToken, Error> {
    let options = parse(url)?;
    // The name is part of what is signed; RDS has it in small letters.
    let server = format!("{}:{}", options.get_host().to_ascii_lowercase(), options.get_port());
    Ok(RdsToken::new(region, server, options.get_username(), credentials))
}

/// The database's URL, and a source of passwords where the URL or a password file has none.
#[derive(Debug)]
pub(super) struct Target {
    url: Secret,
    passwords: Option<Arc<dyn PasswordSource>>,
}

impl Target {
    pub(super) fn new(url: &str) -> Result<Self, Error> {
        check_parameters(url)?;
        let options = parse(url)?;
        // `prefer`, the default, takes plain text when the server says that it has no TLS: anybody on the way can say so.
        let may_be_plain = matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer);
        if may_be_plain && !is_this_machine(options.get_host()) {
            return Err(Error::PerhapsPlainText);
        }
        Ok(Self { url: url.into(), passwords: None })
    }

    /// The same with passwords from there. They are worth as much as the key they are made with: they go to the server whose
    /// name is in its certificate, and to no other. Its authority alone is not enough: that of RDS has signed for the
    /// databases of all its customers.
    pub(super) fn with_passwords(self, passwords: Arc<dyn PasswordSource>) -> Result<Self, Error> {
        match parse(self.url.expose())?.get_ssl_mode() {
            PgSslMode::VerifyFull => Ok(Self { passwords: Some(passwords), ..self }),
            _ => Err(Error::Unencrypted),
        }
    }

    /// For one connection: the password file and the source of passwords are asked now.
    pub(super) fn options(&self) -> Result<PgConnectOptions, Error> {
        if self.passwords.is_none()
            && let Some(path) = std::env::var_os("PGPASSFILE")
        {
            check_password_file(Path::new(&path))?;
        }
        let options = parse(self.url.expose())?;
        let options = match &self.passwords {
            Some(passwords) => options.password(passwords.password()?.expose()),
            None => options,
        };
        // At its own levels sqlx logs statements, and slow ones as warnings; ours hold no values, but are long.
        Ok(options.disable_statement_logging())
    }
}

/// A socket's directory, or an address that no packet leaves the machine for.
fn is_this_machine(host: &str) -> bool {
    let is_loopback = |host: &str| host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    host.starts_with('/') || host == "localhost" || is_loopback(host.trim_start_matches('[').trim_end_matches(']'))
}

fn parse(url: &str) -> Result<PgConnectOptions, Error> {
    PgConnectOptions::from_str(url).map_err(|_| Error::BadUrl)
}

fn check_parameters(url: &str) -> Result<(), Error> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let Some(known) = PARAMETERS.iter().find(|known| **known == name) else {
            if name.starts_with("options[") {
                continue;
            }
            return Err(Error::UnknownParameter { known: PARAMETERS.join(", ") });
        };
        // An encoded path is left to the connection.
        if FILES.contains(known) && !value.contains(['%', '+']) && !value.starts_with("-----BEGIN") {
            let read = std::fs::File::open(value);
            read.map_err(|error| Error::File { what: known, path: value.into(), reason: error.to_string() })?;
        }
    }
    Ok(())
}

/// A file that others may read is passed over in silence by the library, as by `psql`; then a log-in fails without a reason.
fn check_password_file(path: &Path) -> Result<(), Error> {
    let wrong = |reason: String| Error::File { what: "PGPASSFILE", path: PathBuf::from(path), reason };
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.permissions().mode();
    // Nothing for the group, and nothing for others.
    if mode.trailing_zeros() >= 6 { Ok(()) } else { Err(wrong("others may read it; say chmod 600".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl PasswordSource for Fixed {
        fn password(&self) -> Result<Secret, Error> {
            Ok("canary-token".into())
        }
    }

    #[test]
    fn a_slip_of_the_hand_in_the_url_is_told_without_its_value() {
        let error = Target::new("postgres://h/d?pasword=canary").unwrap_err();
        assert!(matches!(error, Error::UnknownParameter { .. }) && !error.to_string().contains("canary"), "{error}");
        assert_eq!(Target::new("postgres://u:canary@[").unwrap_err(), Error::BadUrl);
        let error =
            Target::new("postgres://h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem").unwrap_err().to_string();
        assert!(error.starts_with("sslrootcert cannot be read") && error.contains("/nowhere/ca.pem"), "{error}");
        assert!(Target::new("postgres://localhost/d?statement-cache-capacity=0&options[search_path]=a").is_ok());
    }

    #[test]
    fn plain_text_is_nobodys_choice_but_ours() {
        for url in ["postgres://u:canary@h/d", "postgres://h/d?sslmode=prefer", "postgres://10.1.2.3/d?sslmode=allow"] {
            assert_eq!(Target::new(url).unwrap_err(), Error::PerhapsPlainText, "{url}");
        }
        for url in [
            "postgres://h/d?sslmode=disable",
            "postgres://h/d?sslmode=require",
            "postgres://h/d?sslmode=verify-full",
            "postgres://localhost/d",
            "postgres://127.0.0.1:5433/d",
            "postgres://[::1]/d",
        ] {
            assert!(Target::new(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_token_goes_only_to_a_server_that_shows_its_certificate() {
        for (url, is_safe) in [
            ("postgres://u@localhost/d", false),
            ("postgres://u@localhost/d?sslmode=prefer", false),
            ("postgres://u@h/d?sslmode=require", false),
            ("postgres://u@h/d?sslmode=verify-ca", false),
            ("postgres://u@h/d?sslmode=verify-full", true),
        ] {
            let target = Target::new(url).unwrap().with_passwords(Arc::new(Fixed));
            assert_eq!(target.is_ok(), is_safe, "{url}");
            let shown = format!("{target:?}");
            assert!(!shown.contains("canary") && !shown.contains("postgres://"), "{shown}");
        }
    }

    #[test]
    fn a_password_file_that_others_may_read_is_refused() {
        let file = std::env::temp_dir().join(format!("millpond-pgpass-{}", std::process::id()));
        std::fs::write(&file, "canary").unwrap();
        let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o640);
        let open = check_password_file(&file).map_err(|error| error.to_string());
        set(0o600);
        let closed = check_password_file(&file);
        std::fs::remove_file(&file).unwrap();
        assert!(open.unwrap_err().contains("chmod 600"));
        assert_eq!(closed, Ok(()));
        assert!(check_password_file(&file).is_err(), "it is gone");
    }
}
