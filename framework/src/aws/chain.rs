//! Where credentials are looked for, in the order of AWS's SDKs.

use std::path::Path;

use super::profile::{self, Base, Profile, Role};
use super::sts::{Session, Sts};
use super::{CredentialError, CredentialSource, Credentials, Variables, container, instance};

/// The default credential chain: the environment, the profile, the web identity, the container, the instance; and, on top of
/// any of them, a role to take on. Looks anew each time it is asked: put it into [`Renewed`](super::Renewed).
#[derive(Debug, Clone)]
pub struct DefaultChain {
    variables: Variables,
    region: String,
    role_arn: Option<String>,
}

impl DefaultChain {
    /// The chain of this process. STS is asked in `region`.
    pub fn new(region: impl Into<String>) -> Self {
        Self::with_variables(region, Variables::of_process())
    }

    /// The chain of an environment of your own.
    pub fn with_variables(region: impl Into<String>, variables: Variables) -> Self {
        Self { variables, region: region.into(), role_arn: None }
    }

    /// The same as a role, which is taken on with what the chain finds.
    #[must_use]
    pub fn assuming(self, role_arn: impl Into<String>) -> Self {
        Self { role_arn: Some(role_arn.into()), ..self }
    }

    fn find(&self) -> Result<Credentials, CredentialError> {
        if let Some(credentials) = self.variables.credentials()? {
            return Ok(credentials);
        }
        match profile::read(&self.variables)? {
            Some(Profile::Keys(credentials)) => return Ok(credentials),
            Some(Profile::Role(role)) => return self.take_on(&role),
            None => {}
        }
        if let Some(credentials) = self.web_identity()? {
            return Ok(credentials);
        }
        if let Some(credentials) = container::credentials(&self.variables)? {
            return Ok(credentials);
        }
        instance::credentials(&self.variables)?.map_err(|instance| CredentialError::NotFound {
            looked: [
                "no keys in the environment",
                "no profile with keys or a role",
                "no AWS_WEB_IDENTITY_TOKEN_FILE",
                "no AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI",
                &instance,
            ]
            .map(str::to_owned)
            .to_vec(),
        })
    }

    /// `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`: what EKS gives to a service account with a role (IRSA).
    fn web_identity(&self) -> Result<Option<Credentials>, CredentialError> {
        let Some(file) = self.variables.get("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
        let role_arn = self.variables.get("AWS_ROLE_ARN").ok_or_else(|| CredentialError::Variable {
            variable: "AWS_ROLE_ARN",
            reason: "is missing beside AWS_WEB_IDENTITY_TOKEN_FILE; say which role the token stands for".to_owned(),
        })?;
        let session = Session { role_arn, name: self.session_name(), external_id: None };
        self.sts()?.assume_with_token(Path::new(file), session).map(Some)
    }

    /// The role of a profile.
    fn take_on(&self, role: &Role) -> Result<Credentials, CredentialError> {
        let name = role.session_name.as_deref().or_else(|| self.session_name());
        let session = Session { role_arn: &role.arn, name, external_id: role.external_id.as_deref() };
        let missing = |reason: &str| CredentialError::Profile {
            profile: self.variables.get("AWS_PROFILE").unwrap_or("default").to_owned(),
            reason: format!("takes its role on with credentials that are not there: {reason}"),
        };
        let with = match &role.with {
            Base::WebIdentity(file) => return self.sts()?.assume_with_token(file, session),
            Base::Keys(keys) => keys.clone(),
            Base::Environment => self.variables.credentials()?.ok_or_else(|| missing("no keys in the environment"))?,
            Base::Container => {
                let found = container::credentials(&self.variables)?;
                found.ok_or_else(|| missing("no AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI"))?
            }
            Base::Instance => instance::credentials(&self.variables)?.map_err(|reason| missing(&reason))?,
        };
        self.sts()?.assume(&with, session)
    }

    fn session_name(&self) -> Option<&str> {
        self.variables.get("AWS_ROLE_SESSION_NAME")
    }

    fn sts(&self) -> Result<Sts, CredentialError> {
        Sts::new(&self.variables, &self.region)
    }
}

impl CredentialSource for DefaultChain {
    fn credentials(&self) -> Result<Credentials, CredentialError> {
        let found = self.find()?;
        match &self.role_arn {
            None => Ok(found),
            Some(role_arn) => {
                self.sts()?.assume(&found, Session { role_arn, name: self.session_name(), external_id: None })
            }
        }
    }
}
