//! A profile of the two files of AWS, `credentials` and `config`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::{CredentialError, Credentials, Variables};
use crate::secret::Secret;

/// What a profile says about credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// Keys.
    Keys(Credentials),
    /// A role to take on.
    Role(Role),
}

/// A role, and with what to take it on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) with: Base,
}

/// What proves who takes a role on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The keys of another profile, or of the same.
    Keys(Credentials),
    /// A token in a file.
    WebIdentity(PathBuf),
    /// `credential_source`.
    Environment,
    /// `credential_source`.
    Container,
    /// `credential_source`.
    Instance,
}

/// The values of a profile by name; those of `credentials` come before those of `config`.
type Values = BTreeMap<String, String>;

/// The profile that `AWS_PROFILE` names, or `default`; `None` when it says nothing about credentials, and nobody asked for it.
pub(super) fn read(variables: &Variables) -> Result<Option<Profile>, CredentialError> {
    let name = variables.get("AWS_PROFILE");
    let files = Files::read(variables)?;
    let profile = profile(&files, name.unwrap_or("default"))?;
    match (profile, name) {
        (None, Some(name)) => {
            Err(wrong(name, "has no credentials in ~/.aws/credentials or ~/.aws/config; correct AWS_PROFILE"))
        }
        (profile, _) => Ok(profile),
    }
}

/// A profile of files that hold this text, both.
#[cfg(any(test, feature = "testing"))]
pub(super) fn of_texts(text: &str, name: &str) -> Result<Option<Profile>, CredentialError> {
    profile(&Files { credentials: Some(text.to_owned()), config: Some(text.to_owned()) }, name)
}

fn profile(files: &Files, name: &str) -> Result<Option<Profile>, CredentialError> {
    let Some(values) = files.values(name) else { return Ok(None) };
    let Some(arn) = values.get("role_arn") else {
        return match keys(name, &values)? {
            Some(keys) => Ok(Some(Profile::Keys(keys))),
            None => foreign(name, &values).map_or(Ok(None), Err),
        };
    };
    let token = values.get("web_identity_token_file").map(PathBuf::from);
    let source = values.get("source_profile").map(String::as_str);
    let with = match (token, source, values.get("credential_source").map(String::as_str)) {
        (Some(token), ..) => Base::WebIdentity(token),
        (None, Some(source), _) => {
            let from = files.values(source).ok_or_else(|| wrong(name, "names a source_profile that is in no file"))?;
            let keys = keys(source, &from)?;
            Base::Keys(keys.ok_or_else(|| {
                wrong(source, "is a source_profile, which must hold keys; a chain of roles is not supported")
            })?)
        }
        (None, None, Some("Environment")) => Base::Environment,
        (None, None, Some("EcsContainer")) => Base::Container,
        (None, None, Some("Ec2InstanceMetadata")) => Base::Instance,
        _ => {
            let reason = "has a role_arn without a source_profile, a web_identity_token_file, or a credential_source of \
                          Environment, EcsContainer or Ec2InstanceMetadata";
            return Err(wrong(name, reason));
        }
    };
    let value = |name: &str| values.get(name).cloned();
    Ok(Some(Profile::Role(Role {
        arn: arn.clone(),
        session_name: value("role_session_name"),
        external_id: value("external_id"),
        with,
    })))
}

/// The keys of a profile.
fn keys(name: &str, values: &Values) -> Result<Option<Credentials>, CredentialError> {
    match (values.get("aws_access_key_id"), values.get("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Some(Credentials {
            access_key_id: id.clone(),
            secret_access_key: Secret::new(secret.as_str()),
            session_token: values.get("aws_session_token").map(|token| Secret::new(token.as_str())),
            expires_at: None,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong(name, "has no aws_secret_access_key beside its aws_access_key_id")),
        (None, Some(_)) => Err(wrong(name, "has no aws_access_key_id beside its aws_secret_access_key")),
    }
}

/// Ways to credentials that need a person or a program.
fn foreign(name: &str, values: &Values) -> Option<CredentialError> {
    let way = ["sso_session", "sso_start_url", "credential_process", "login_session"];
    let way = way.into_iter().find(|way| values.contains_key(*way))?;
    let reason = format!(
        "uses {way}, which is not supported; set the variables that `aws configure export-credentials --format env` prints"
    );
    Some(wrong(name, reason))
}

fn wrong(profile: &str, reason: impl Into<String>) -> CredentialError {
    CredentialError::Profile { profile: profile.to_owned(), reason: reason.into() }
}

/// The texts of both files, as far as they exist.
struct Files {
    credentials: Option<String>,
    config: Option<String>,
}

impl Files {
    fn read(variables: &Variables) -> Result<Self, CredentialError> {
        let one = |variable, what, at_home| {
            let said = variables.get(variable).map(PathBuf::from);
            let is_said = said.is_some();
            let Some(path) = said.or_else(|| variables.at_home(at_home)) else { return Ok(None) };
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == ErrorKind::NotFound && !is_said => Ok(None),
                Err(error) => Err(CredentialError::File { what, path, reason: error.to_string() }),
            }
        };
        Ok(Self {
            credentials: one("AWS_SHARED_CREDENTIALS_FILE", "the AWS credentials file", ".aws/credentials")?,
            config: one("AWS_CONFIG_FILE", "the AWS config file", ".aws/config")?,
        })
    }

    /// `None` when neither file has the profile.
    fn values(&self, profile: &str) -> Option<Values> {
        let in_config = if profile == "default" { "default".to_owned() } else { format!("profile {profile}") };
        let config = self.config.as_deref().and_then(|text| section(text, &in_config));
        let credentials = self.credentials.as_deref().and_then(|text| section(text, profile));
        match (config, credentials) {
            (Some(mut values), Some(first)) => {
                values.extend(first);
                Some(values)
            }
            (values, first) => first.or(values),
        }
    }
}

/// One section of an INI file.
fn section(text: &str, name: &str) -> Option<Values> {
    let mut found: Option<Values> = None;
    let mut is_ours = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
        if let Some(header) = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = header.split_whitespace().eq(name.split_whitespace());
            if is_ours {
                found.get_or_insert_default();
            }
        } else if is_ours
            // What is indented belongs to the value above.
            && !line.starts_with([' ', '\t'])
            && let Some((name, value)) = line.split_once('=')
            && let Some(values) = &mut found
        {
            values.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key=a=\n\n[ other ]\n\
                               aws_access_key_id=B\naws_secret_access_key = b\naws_session_token = t\n\
                               [half]\naws_access_key_id=C\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  aws_access_key_id = nested\n\
                          [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = other\nexternal_id = e\n\
                          [profile pod]\nrole_arn = arn:aws:iam::1:role/p\nweb_identity_token_file = /token\n\
                          [profile task]\nrole_arn = arn:aws:iam::1:role/t\ncredential_source = EcsContainer\n\
                          [profile alone]\nrole_arn = arn:aws:iam::1:role/a\n\
                          [profile lost]\nrole_arn = arn:aws:iam::1:role/l\nsource_profile = nobody\n\
                          [profile chain]\nrole_arn = arn:aws:iam::1:role/c\nsource_profile = role\n\
                          [profile person]\nsso_session = corp\n[profile empty]\nregion = x\n";

    fn found(name: &str) -> Result<Option<Profile>, String> {
        let files = Files { credentials: Some(CREDENTIALS.into()), config: Some(CONFIG.into()) };
        profile(&files, name).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_gives_its_own_keys() {
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            Profile::Keys(Credentials {
                access_key_id: id.into(),
                secret_access_key: secret.into(),
                session_token: token.map(Into::into),
                expires_at: None,
            })
        };
        assert_eq!(found("default"), Ok(Some(keys("A", "a=", None))));
        assert_eq!(found("other"), Ok(Some(keys("B", "b", Some("t")))));
        assert_eq!((found("missing"), found("empty")), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_profile_may_name_a_role_and_what_it_is_taken_on_with() {
        let Ok(Some(Profile::Role(role))) = found("role") else { panic!("{:?}", found("role")) };
        assert_eq!((role.arn.as_str(), role.external_id.as_deref()), ("arn:aws:iam::1:role/r", Some("e")));
        assert!(matches!(role.with, Base::Keys(keys) if keys.access_key_id == "B"));
        let with = |name| match found(name) {
            Ok(Some(Profile::Role(role))) => role.with,
            other => panic!("{other:?}"),
        };
        assert_eq!((with("pod"), with("task")), (Base::WebIdentity("/token".into()), Base::Container));
    }

    #[test]
    fn a_profile_that_cannot_be_used_says_why() {
        for (name, part) in [
            ("half", "no aws_secret_access_key"),
            ("alone", "without a source_profile"),
            ("lost", "a source_profile that is in no file"),
            ("chain", "must hold keys"),
            ("person", "uses sso_session, which is not supported"),
        ] {
            let error = found(name).unwrap_err();
            assert!(error.contains(part), "{name}: {error}");
        }
    }

    #[test]
    fn a_file_or_profile_that_was_asked_for_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credentials").display().to_string();
        let variables = |extra: &[(&str, &str)]| -> Variables {
            let home = ("HOME".to_owned(), directory.path().display().to_string());
            let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            extra.chain([home]).collect()
        };
        assert_eq!(read(&variables(&[])), Ok(None));
        let error = read(&variables(&[("AWS_SHARED_CREDENTIALS_FILE", &file)])).unwrap_err().to_string();
        assert!(error.contains("the AWS credentials file cannot be read") && error.contains(&file), "{error}");
        std::fs::write(&file, CREDENTIALS).unwrap();
        let asked = |name| read(&variables(&[("AWS_SHARED_CREDENTIALS_FILE", &file), ("AWS_PROFILE", name)]));
        assert!(matches!(asked("other"), Ok(Some(Profile::Keys(_)))));
        assert!(asked("nobody").unwrap_err().to_string().contains("correct AWS_PROFILE"));
    }
}
