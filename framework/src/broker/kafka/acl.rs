//! Kafka's access rules: which right a refused request lacked, on what, and the command that grants it.

use std::borrow::Cow;
use std::fmt;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::config::{KafkaConfig, Sasl};
use super::ffi::Failure;
use super::operate::Right;
use crate::broker::BrokerError;

/// Something that access rules are about, by Kafka's name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// A consumer group.
    Group(String),
    /// A transactional id.
    TransactionalId(String),
    /// All transactional ids that begin so.
    TransactionalIdPrefix(String),
    /// The cluster.
    Cluster,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::TransactionalId(name) => write!(f, "transactional id {name}"),
            Self::TransactionalIdPrefix(name) => write!(f, "transactional ids {name}*"),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

impl Resource {
    /// As `kafka-acls.sh` is told of it.
    fn flag(&self) -> String {
        match self {
            Self::Topic(name) => format!("--topic {}", quoted(name)),
            Self::Group(name) => format!("--group {}", quoted(name)),
            Self::TransactionalId(name) => format!("--transactional-id {}", quoted(name)),
            Self::TransactionalIdPrefix(name) => {
                format!("--resource-pattern-type prefixed --transactional-id {}", quoted(name))
            }
            Self::Cluster => "--cluster".to_owned(),
        }
    }
}

/// Who asks for rights, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct Principal {
    servers: String,
    /// The name that the brokers know, where we know it: they may make another one of a certificate or a token.
    user: Option<String>,
}

impl Principal {
    pub(super) fn of(config: &KafkaConfig) -> Self {
        let user = match config.security.sasl() {
            Some(
                Sasl::Plain { username, .. } | Sasl::ScramSha256 { username, .. } | Sasl::ScramSha512 { username, .. },
            ) => Some(username.clone()),
            Some(Sasl::OAuthBearer(_)) | None => None,
        };
        Self { servers: config.bootstrap_servers.clone(), user }
    }

    /// The command that grants these rights.
    pub(super) fn grant(&self, rights: &[Right], on: &Resource) -> String {
        let user = format!("User:{}", self.user.as_deref().unwrap_or("<principal>"));
        let operations: Vec<String> = rights.iter().map(|right| format!("--operation {right:?} ")).collect();
        let operations = operations.concat();
        let (servers, user, on) = (quoted(&self.servers), quoted(&user), on.flag());
        format!("kafka-acls.sh --bootstrap-server {servers} --add --allow-principal {user} {operations}{on}")
    }

    /// The error with the right that was missing and how to grant it, where the code tells of one. `own` is what the client
    /// asks for by itself: its group or its transactional id.
    pub(super) fn explain(&self, error: BrokerError, failure: &Failure, own: Option<&Resource>) -> BrokerError {
        let on = failure.on.as_ref().or(own);
        let Some((right, on)) = missing(error.operation, failure.code, on) else { return error };
        let grant = self.grant(&[right], on);
        BrokerError {
            advice: Cow::Owned(format!("this principal lacks {right:?} on {on}; grant it: {grant}")),
            ..error
        }
    }
}

/// The right that a request of that kind needs, on what it was refused for.
fn missing<'a>(operation: &str, code: Code, on: Option<&'a Resource>) -> Option<(Right, &'a Resource)> {
    match (code, on) {
        (Code::TopicAuthorizationFailed, Some(on @ Resource::Topic(_))) => Some((of_topic(operation), on)),
        (Code::GroupAuthorizationFailed, Some(on @ Resource::Group(_))) => Some((of_group(operation), on)),
        (Code::TransactionalIdAuthorizationFailed, Some(on @ Resource::TransactionalId(_))) => Some((Right::Write, on)),
        // Asked for a topic that may be made by a right on either.
        (Code::ClusterAuthorizationFailed, Some(on @ Resource::Topic(_))) if operation == "create_topic" => {
            Some((Right::Create, on))
        }
        (Code::ClusterAuthorizationFailed, _) => Some((of_cluster(operation), &Resource::Cluster)),
        _ => None,
    }
}

fn of_topic(operation: &str) -> Right {
    match operation {
        "poll" | "send_offsets" => Right::Read,
        "send" | "commit_transaction" => Right::Write,
        "create_topic" => Right::Create,
        "delete_topics" | "delete_records" => Right::Delete,
        "describe_configs" => Right::DescribeConfigs,
        _ => Right::Describe,
    }
}

fn of_group(operation: &str) -> Right {
    match operation {
        "describe_group" | "committed" | "list_group_offsets" => Right::Describe,
        "delete_group_offsets" => Right::Delete,
        _ => Right::Read,
    }
}

fn of_cluster(operation: &str) -> Right {
    match operation {
        "create_topic" => Right::Create,
        "describe_configs" => Right::DescribeConfigs,
        "describe_cluster" | "list_groups" => Right::Describe,
        _ => Right::IdempotentWrite,
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:,@/+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::BrokerErrorKind;

    fn explained(operation: &'static str, code: Code, on: Option<Resource>) -> String {
        let principal = Principal { servers: "b:1".into(), user: Some("alice".into()) };
        let failure = Failure { on, ..Failure::of(code) };
        let error = BrokerError::new(operation, BrokerErrorKind::Unauthorized, "refused");
        principal.explain(error, &failure, Some(&Resource::Group("shop".into()))).advice.into_owned()
    }

    #[test]
    fn a_refusal_names_the_right_and_the_command_that_grants_it() {
        let topic = || Some(Resource::Topic("events".into()));
        for (operation, code, on, right) in [
            ("poll", Code::TopicAuthorizationFailed, topic(), "Read on topic events"),
            ("commit_transaction", Code::TopicAuthorizationFailed, topic(), "Write on topic events"),
            ("create_topic", Code::TopicAuthorizationFailed, topic(), "Create on topic events"),
            ("create_topic", Code::ClusterAuthorizationFailed, topic(), "Create on topic events"),
            ("delete_records", Code::TopicAuthorizationFailed, topic(), "Delete on topic events"),
            ("describe_configs", Code::TopicAuthorizationFailed, topic(), "DescribeConfigs on topic events"),
            ("describe_topics", Code::TopicAuthorizationFailed, topic(), "Describe on topic events"),
            ("poll", Code::GroupAuthorizationFailed, None, "Read on group shop"),
            ("committed", Code::GroupAuthorizationFailed, None, "Describe on group shop"),
            ("init_transactions", Code::ClusterAuthorizationFailed, None, "IdempotentWrite on the cluster"),
        ] {
            let advice = explained(operation, code, on);
            assert!(advice.contains(&format!("lacks {right};")), "{operation}: {advice}");
        }
        let advice = explained("poll", Code::TopicAuthorizationFailed, topic());
        let command =
            "kafka-acls.sh --bootstrap-server b:1 --add --allow-principal User:alice --operation Read --topic events";
        assert!(advice.ends_with(command), "{advice}");
    }

    #[test]
    fn what_is_no_matter_of_rules_or_not_known_is_left_as_it_is() {
        let plain = "check the credentials and the ACLs of this principal";
        assert_eq!(explained("poll", Code::Authentication, None), plain);
        assert_eq!(explained("poll", Code::TopicAuthorizationFailed, None), plain);
        assert_eq!(explained("init_transactions", Code::TransactionalIdAuthorizationFailed, None), plain);
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let principal = Principal { servers: "a:1,b:2".into(), user: None };
        let command = principal.grant(&[Right::Read, Right::Describe], &Resource::Group("it's".into()));
        let expected = r"kafka-acls.sh --bootstrap-server a:1,b:2 --add --allow-principal 'User:<principal>' --operation Read --operation Describe --group 'it'\''s'";
        assert_eq!(command, expected);
    }
}
