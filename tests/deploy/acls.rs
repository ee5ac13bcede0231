//! The access rules for a Kafka of one's own, as `apps/deploy/README.md` has them: those under which the four are tested.

use super::authorization::rules_of;
use super::files::{APPLICATIONS, deployed, text};

/// Resources that are granted the same.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    kind: String,
    pattern: String,
    names: Vec<String>,
    operations: Vec<String>,
}

/// `DESCRIBE_CONFIGS` in the words of `kafka-acls.sh`: `DescribeConfigs`.
fn operation(words: &str) -> String {
    words.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect()
}

fn grants(application: &str) -> Vec<Grant> {
    let mut each: Vec<Grant> = Vec::new();
    for rule in rules_of(application) {
        let words: Vec<&str> = rule.split(' ').collect();
        let (kind, name, pattern) = (words[1].to_owned(), words[2].to_owned(), words[3].to_owned());
        match each.iter_mut().find(|grant| grant.kind == kind && grant.names == [name.as_str()]) {
            Some(grant) => grant.operations.push(operation(words[4])),
            None => each.push(Grant { kind, pattern, names: vec![name], operations: vec![operation(words[4])] }),
        }
    }
    let mut grants: Vec<Grant> = Vec::new();
    for grant in each {
        let same = |have: &&mut Grant| {
            (&have.kind, &have.pattern, &have.operations) == (&grant.kind, &grant.pattern, &grant.operations)
        };
        match grants.iter_mut().find(same) {
            Some(have) => have.names.extend(grant.names),
            None => grants.push(grant),
        }
    }
    grants
}

/// The command, over as many lines as it takes.
fn command(application: &str, grant: &Grant) -> String {
    let flag = match grant.kind.as_str() {
        "CLUSTER" => "--cluster",
        "GROUP" => "--group",
        "TRANSACTIONAL_ID" => "--transactional-id",
        "TOPIC" => "--topic",
        other => panic!("no flag of kafka-acls.sh is known for {other}"),
    };
    let name = |name: &String| if flag == "--cluster" { flag.to_owned() } else { format!("{flag} {name}") };
    let operations = grant.operations.iter().map(|operation| format!("--operation {operation}"));
    let prefixed = (grant.pattern == "PREFIXED").then(|| "--resource-pattern-type prefixed".to_owned());
    let mut text = format!("grant {application}");
    let mut width = text.len();
    for part in operations.chain(prefixed).chain(grant.names.iter().map(name)) {
        if width + part.len() > 115 {
            text += " \\\n   ";
            width = 3;
        }
        text.extend([" ", &part]);
        width += 1 + part.len();
    }
    text + "\n"
}

#[test]
fn the_access_rules_in_the_readme_are_those_that_the_applications_are_tested_with() {
    let commands: Vec<String> = APPLICATIONS
        .into_iter()
        .map(|application| grants(application).iter().map(|grant| command(application, grant)).collect())
        .collect();
    let commands = commands.join("\n");
    assert!(commands.lines().count() > 20, "{commands}");
    assert!(text(deployed("README.md")).contains(&commands), "apps/deploy/README.md lacks these lines:\n{commands}");
}
